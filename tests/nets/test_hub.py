"""Cards, the hub's cache, downloads (of a stand-in), and the command from end to end."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch

from tests.cli.conftest import ENVIRONMENT, folder, run
from tests.nets.hub_folders import write
from zsir import pictures, priors
from zsir.errors import BadInput, BadSpec, Incompatible
from zsir.names.citations import BIBTEX
from zsir.priors.catalogue import PRIORS
from zsir.priors.checkpoints import cards
from zsir.priors.network import NetworkPrior

__all__ = ["folder", "run"]  # fixtures

ID = "openai/diffusers-cd_imagenet64_l2"
SOLVE = ("solve", "--noise", "0", "--op", "sr4x", "--nfe", 4, "other.png", "-o", "out.png")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small consistency model in the layout of the hub."""
    path = tmp_path_factory.mktemp("model") / "cm"
    write(path, "consistency")
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """An empty cache, no network."""
    path = tmp_path_factory.mktemp("cache")
    for name in ("HF_HOME", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return path


def put_in_cache(cache: Path, model: Path, id: str = ID) -> Path:
    home = cache / f"models--{id.replace('/', '--')}"
    shutil.copytree(model, home / "snapshots" / "abc123", dirs_exist_ok=True)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / "main").write_text("abc123")
    return home


def sha256(model: Path) -> str:
    return hashlib.sha256((model / "unet/diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()


def test_cards_are_complete():
    for name, card in cards.cards().items():
        assert PRIORS.summary(name) == card.summary
        about = PRIORS.describe(name)
        assert card.id in about.formula and card.licence in about.formula
        assert [p.name for p in about.parameters] == ["path", "label"]
        assert about.bibtex and any(f"[{key}]" in card.cite for key in BIBTEX)
        assert card.native_range in ((-1.0, 1.0), (0.0, 1.0)) and card.megabytes > 100 and card.size in (32, 64, 256)
        assert card.sha256 is None or len(card.sha256) == 64


def test_a_folder_and_the_cache_give_the_same_prior(cache, model):
    here = priors.load(f"cm-imagenet:path={model},label=2")
    assert isinstance(here, NetworkPrior)
    assert (here.kind, here.clip, here.channels, here.sigma_range) == ("consistency", True, 3, (0.002, 40.0))
    assert here.name == "cm-imagenet, class 2 of 5" and here.fingerprint == sha256(model)
    put_in_cache(cache, model)
    x, sigma = torch.linspace(0, 1, 3 * 16 * 20).view(1, 3, 16, 20), torch.tensor([0.3])
    wanted = here.denoise(x, sigma)
    for spec in ("cm-imagenet:label=2", f"hub:id={ID},label=2", f"folder:path={model},label=2"):
        assert torch.equal(priors.load(spec).denoise(x, sigma), wanted)


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("HF_HOME", "/somewhere")
    monkeypatch.setenv("HF_HUB_CACHE", "/elsewhere")
    assert cards.hub_cache() == Path("/elsewhere")
    monkeypatch.delenv("HF_HUB_CACHE")
    assert cards.hub_cache() == Path("/somewhere/hub")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cards.hub_cache() == Path("/home/me/.cache/huggingface/hub")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    assert cards.hub_cache() == Path("/fast/huggingface/hub")


def test_an_unfinished_download_does_not_count(cache, model):
    home = put_in_cache(cache, model)
    assert cards.on_this_machine(ID) == home / "snapshots" / "abc123"
    shutil.rmtree(home / "refs")  # the only snapshot will do
    assert cards.on_this_machine(ID) == home / "snapshots" / "abc123"
    scheduler = home / "snapshots/abc123/scheduler/scheduler_config.json"
    scheduler.rename(home / "aside")
    assert cards.on_this_machine(ID) is None
    (home / "aside").rename(scheduler)
    assert cards.on_this_machine(ID) is not None
    file = home / "snapshots/abc123/unet/diffusion_pytorch_model.safetensors"
    file.unlink()
    file.symlink_to("../../../blobs/0123.incomplete")
    assert cards.on_this_machine(ID) is None


def test_the_hash_is_checked(cache, model):
    put_in_cache(cache, model)
    right = sha256(model)
    assert priors.load(f"hub:id={ID},sha256={right.upper()}").fingerprint == right
    with pytest.raises(BadInput, match=f"not those of {ID}: their SHA-256 is {right}, expected was 00"):
        priors.load(f"hub:id={ID},sha256={'0' * 64}")


@pytest.mark.parametrize("id", ["cat", "../../etc", "a/b/c", "owner/..", "/etc/passwd"])
def test_ids_that_are_none(id):
    with pytest.raises(BadSpec, match="is not the id of a model on the hub"):
        priors.load(f"hub:id={id}")


def stand_in(source: Path, calls: list[list[str]]):
    """Puts those files into the cache that are asked for, as the hub's client does."""

    def download(id: str, *, allow_patterns: list[str], cache_dir: Path, endpoint: str | None) -> str:
        calls.append(allow_patterns)
        home = Path(cache_dir) / f"models--{id.replace('/', '--')}"
        for file in (path for path in source.rglob("*") if path.is_file()):
            name = file.relative_to(source).as_posix()
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                target = home / "snapshots" / "abc" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
        (home / "refs").mkdir(parents=True, exist_ok=True)
        (home / "refs" / "main").write_text("abc")
        return str(home / "snapshots" / "abc")

    return download


@pytest.mark.parametrize("safe", [True, False])
def test_nothing_is_downloaded_that_was_not_asked_for(tmp_path, cache, monkeypatch, safe):
    write(tmp_path / "model", "ddpm", plain=True, safe=safe)
    for extra in ("README.md", "pytorch_model.fp16.bin", "diffusion_pytorch_model.fp16.safetensors"):
        (tmp_path / "model" / extra).write_text("large")
    calls: list[list[str]] = []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", stand_in(tmp_path / "model", calls))
    prior = priors.load("ddpm-church")
    assert isinstance(prior, NetworkPrior) and prior.kind == "denoiser"
    weights = "diffusion_pytorch_model." + ("safetensors" if safe else "bin")
    files = {path.name for path in (cache / "models--google--ddpm-church-256/snapshots/abc").rglob("*")}
    assert files == {"config.json", "scheduler_config.json", weights}
    assert len(calls) == (2 if safe else 3)
    priors.load("ddpm-church")
    assert len(calls) == (2 if safe else 3)  # from the cache


def test_no_such_thing_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("a text model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", stand_in(tmp_path, []))
    with pytest.raises(BadInput, match=r"someone/text holds neither unet/config\.json nor config\.json"):
        priors.load("hub:id=someone/text")


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    ("file", "fields", "error", "sentence"),
    [
        ("model_index.json", {"vae": ["diffusers", "AutoencoderKL"]}, Incompatible, "is a pipeline with a 'vae'"),
        ("model_index.json", {"text_encoder": ["transformers", "T5"]}, Incompatible, "with a 'text_encoder'"),
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, BadInput, "conditioned on text"),
        ("unet/config.json", {"block_out_channels": [3]}, BadInput, "describes no network"),
        ("scheduler/scheduler_config.json", {"_class_name": "Mine"}, BadInput, "scheduler 'Mine' is not known"),
        ("model_index.json", {"vae": [None, None]}, None, ""),
    ],
)
def test_configurations_come_before_weights(tmp_path, cache, model, monkeypatch, file, fields, error, sentence):
    shutil.copytree(model, tmp_path / "model")
    change(tmp_path / "model" / file, **fields)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", stand_in(tmp_path / "model", []))
    if error is None:
        priors.load("hub:id=someone/latent")
    else:
        with pytest.raises(error, match=sentence):
            priors.load("hub:id=someone/latent")
    assert bool(list(cache.rglob("*.safetensors"))) == (error is None)
    assert list(cache.rglob("config.json"))


def test_without_diffusers_no_weights_are_downloaded(cache, model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", stand_in(model, []))
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(Incompatible, match=r"pip install 'zsir\[hub\]'"):
        priors.load("cm-imagenet")
    assert not list(cache.rglob("*.safetensors"))


@pytest.mark.slow
def test_solve_with_a_card_from_a_folder_and_from_the_cache(run, folder, cache, model):
    done = run(*SOLVE, "--prior", f"cm-imagenet:path={model}")
    assert done.code == 0 and done.err == ""
    first = pictures.read("out.png").pixels
    assert first.shape == (1, 3, 64, 96)
    put_in_cache(cache, model)
    assert run(*SOLVE, "--prior", "cm-imagenet", "--overwrite").code == 0
    assert torch.equal(pictures.read("out.png").pixels, first)
    assert run(*SOLVE, "--prior", "cm-imagenet:label=3", "--overwrite").code == 0
    assert not torch.equal(pictures.read("out.png").pixels, first)


def test_an_odd_size_is_solved(run, folder, model):
    """31x22 is neither even nor near the 16x16 that the network was made for."""
    done = run("solve", "--op", "denoise", "--noise", 0.05, "--prior", f"folder:path={model}", "colour.png")
    assert done.code == 0 and pictures.read("colour_restored.png").pixels.shape == (1, 3, 22, 31)


def check_sentence(message: str, cache: Path, why: str) -> None:
    assert f"The weights {ID} are not on this machine ({cache}/models--openai--diffusers-cd_imagenet64_l2)" in message
    assert f"cannot be downloaded: {why}; elsewhere run: hf download {ID} " in message
    assert message.endswith("--prior cm-imagenet:path=FOLDER")


def test_offline_without_weights_is_one_sentence(run, folder, cache):
    done = run(*SOLVE, "--prior", "cm-imagenet")
    assert done.code == 1
    check_sentence(done.message, cache, "HF_HUB_OFFLINE forbids downloads")


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_one_sentence(run, folder, cache):
    """The real client, in a process of its own because it reads its settings when it is imported."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # nobody listens there
        environment = {**ENVIRONMENT, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_CACHE": str(cache)}
        environment = {k: v for k, v in environment.items() if not k.lower().endswith("_proxy")}
        command = [sys.executable, "-m", "zsir", *map(str, SOLVE), "--prior", "cm-imagenet"]
        environment["HF_HUB_OFFLINE"] = "0"
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    check_sentence(done.stderr.strip(), cache, "the hub cannot be reached from here")


def test_list_says_what_is_here(run, folder, cache, model):
    def line() -> str:
        return next(row for row in run("list", "priors").out.splitlines() if row.split()[0] == "cm-imagenet")

    assert line().endswith("distilled with the L2 loss, 64x64 (to download: 1184 MB)")
    put_in_cache(cache, model)
    assert line().endswith("distilled with the L2 loss, 64x64 (on this machine)")
