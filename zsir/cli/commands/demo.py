"""``zsir demo``: the whole way on a photograph that ships with the package."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def demo(folder: Path) -> None:
    """Reduce a photograph four times, restore it in four calls of the network, and show the two beside the original.

    Writes observation.png, restored.png, contact_sheet.png and record.json into FOLDER.
    """
    from importlib.resources import as_file, files

    from zsir.files import make_folder
    from zsir.pictures import picture as images
    from zsir.workflow import restore

    make_folder(folder)
    how = restore.method("sr4x", 0.0, "photo", "cm4ir", nfe=4, device="auto", dtype="float32")
    with as_file(files("zsir") / "assets" / "demo.png") as path:
        picture = images.read(path)
    result = restore.restore(picture, how, seed=0, simulate=True)
    target = folder / "restored.png"
    images.write(folder / "observation.png", result.observation)
    restore.save(picture, result.pixels, target)
    images.write(folder / "contact_sheet.png", restore.sheet(result))
    record = restore.record_of(picture.path, target, result, how)
    restore.write_record(folder / "record.json", " ".join(["zsir", *sys.argv[1:]]), [record])
    click.echo(restore.summary(target, result))
    click.echo(f"The bicubic enlargement has {record['observation_psnr']:.2f} dB; see {folder / 'contact_sheet.png'}.")
