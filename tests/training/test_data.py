"""Recipes, packed pictures and batches."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.pictures import folder, picture
from zsir.errors import BadInput, BadSpec, OutputError, UnknownName
from zsir.training import dataset
from zsir.training.batches import Batches, level
from zsir.training.dataset import pack
from zsir.training.recipe import Recipe, about, as_json, recipe

SMALL = Recipe(widths=(8, 16), blocks=1, batch=6, patch=16, steps=10)


def test_recipes_are_specs_and_files(tmp_path):
    r = recipe("tiny:steps=30,widths=8+16,turns=true,lr=1/1000")
    assert (r.steps, r.widths, r.turns, r.lr) == (30, (8, 16), True, 0.001)
    (tmp_path / "own.json").write_text(as_json(r))
    assert recipe(str(tmp_path / "own.json")) == r
    assert set(about()) == {"tiny", "small", "base", "distill"}
    for name in about():
        recipe(name)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tiny:stesp=3", "did you mean 'steps'"),
        ("huge", "no recipe 'huge'"),
        ("tiny:steps=0", "steps=0"),
        ("tiny:grey=2", r"grey=2 must lie in \[0, 1\]"),
        ("tiny:shapes=-1", r"shapes=-1 must lie in \[0, 1\]"),
        ("tiny:optimiser=sgd", "optimiser=sgd: choose one of adamw, muon"),
        ("tiny:patch=2", "patch=2"),
        ("tiny:channels=4", "channels=4"),
        ("tiny:sigma_min=2", "sigma_min"),
        ("tiny:lr=0", "lr"),
        ("tiny:focus_high=5", "focus_high <= sigma_max"),
        ("tiny:widths=8.5+16", "whole numbers"),
        ("nowhere.json", "not a readable JSON file"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(spec, words):
    with pytest.raises((BadSpec, UnknownName), match=words):
        recipe(spec)


def test_an_optimiser_of_another_name():
    with pytest.raises(BadSpec, match="optimiser=AdamW; choose one of adamw, muon"):
        Recipe(optimiser="AdamW")


def test_the_rate_rises_stays_and_falls_to_nothing():
    r = Recipe(steps=100, warmup=10, decay=0.4, lr=1.0)
    rates = [r.learning_rate(k) for k in range(100)]
    assert rates[:2] == pytest.approx([0.1, 0.2]) and rates[10:60] == pytest.approx([1.0] * 50)
    assert rates[80] == pytest.approx(0.5) and rates[99] == pytest.approx(1 / 40)


def test_what_cannot_be_used_is_left_out_and_named(tmp_path):
    pictures = folder(tmp_path / "in", 5)
    (pictures / "broken.png").write_bytes((pictures / "p0.png").read_bytes()[:200])
    (pictures / "no.jpg").write_text("text")
    Image.fromarray(picture(0)[:10]).save(pictures / "thin.png")
    (pictures / "notes.txt").write_text("not a picture")
    clear = Image.fromarray(picture(5)).convert("RGBA")
    clear.save(pictures / "p5.png")  # opaque everywhere: as good as any
    clear.putpixel((3, 2), (0, 0, 0, 254))
    clear.save(pictures / "pane.png")
    packed = pack([pictures], tmp_path, 3, 16)
    assert len({item.name for item in packed.stored}) == 6
    assert len(packed.skipped) == 4
    for name, sentence in zip(("broken.png", "no.jpg", "pane.png", "thin.png"), packed.skipped, strict=True):
        assert name in sentence
    for item in packed.stored:
        number = int(item.name[-5])
        assert np.array_equal(packed.array(item), picture(number))


def test_large_ones_come_in_two_sizes_and_deep_ones_keep_their_bits(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    deep = (np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) * 12).astype(np.uint16)
    Image.fromarray(deep).save(source / "deep.png")
    packed = pack([source], tmp_path, 3, 16)
    whole, half = packed.stored
    assert (whole.shape, half.shape, whole.dtype) == ((64, 80, 1), (32, 40, 1), "uint16")
    assert np.array_equal(packed.array(whole)[..., 0], deep)
    means = deep.reshape(32, 2, 40, 2).mean(axis=(1, 3))
    assert np.abs(packed.array(half)[..., 0] - means).max() <= 1


def test_one_in_sixteen_is_kept_back_in_all_its_sizes(tmp_path):
    packed = pack([folder(tmp_path / "in", 20)], tmp_path, 3, 10)
    held = {item.name for item in packed.stored if item.held_out}
    assert len(held) == 1 and not held & {item.name for item in packed.training}
    assert len(packed.training) == 2 * 19
    assert [tuple(x.shape) for x in packed.validation()] == [(1, 3, 40, 52)]


def test_a_resumed_run_sees_the_same_pictures_whatever_became_of_the_folder(tmp_path):
    source = folder(tmp_path / "in", 4)
    before = pack([source], tmp_path, 3, 16)
    for file in source.iterdir():
        file.unlink()
    assert pack([source], tmp_path, 3, 16) == before


def test_every_file_is_learned_once_and_none_that_is_measured(tmp_path):
    a, b = folder(tmp_path / "2023/in", 3), folder(tmp_path / "2024/in", 3)
    packed = pack([a, b, tmp_path / "2023"], tmp_path, 3, 16, validation=b)
    assert len(packed.training) == 3 and len(packed.validation()) == 3
    assert not {item.name for item in packed.training} & {item.name for item in packed.stored if item.held_out}


def test_of_a_large_folder_to_measure_on_nothing_is_learned(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "MOST_MEASURED", 2)
    source = folder(tmp_path / "in", 3)
    val = folder(source / "val", 5)
    packed = pack([source], tmp_path, 3, 16, validation=val)
    assert len(packed.validation()) == 2 and len(packed.training) == 3
    assert not [item.name for item in packed.training if "val" in item.name]


def test_an_index_is_never_beside_other_pictures(tmp_path, monkeypatch):
    source = folder(tmp_path / "in", 2)
    pack([source], tmp_path, 3, 16)
    (tmp_path / "pictures.bin").unlink()

    def full(path, data):
        raise OutputError("no space left on device")

    monkeypatch.setattr(dataset, "write_bytes", full)
    with pytest.raises(OutputError):
        pack([source], tmp_path, 3, 16)
    assert not (tmp_path / "pictures.json").exists()


def test_earlier_runs_are_no_pictures(tmp_path):
    source = folder(tmp_path / "in", 2)
    run = folder(source / "run", 2)
    for name in ("recipe.json", "settings.json"):
        (run / name).write_text("{}")
    assert len(pack([source], tmp_path, 3, 16).stored) == 2


def test_a_folder_to_measure_on_that_is_of_no_use(tmp_path):
    thin = tmp_path / "val"
    thin.mkdir()
    Image.fromarray(picture(0)[:4]).save(thin / "thin.png")
    with pytest.raises(BadInput, match=r"--val .* holds no usable picture"):
        pack([folder(tmp_path / "in", 2)], tmp_path, 3, 16, validation=thin)


def test_folders_without_pictures(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no pictures found"):
        pack([tmp_path / "empty"], tmp_path, 3, 16)
    with pytest.raises(BadInput, match="no usable picture of 128x128"):
        pack([folder(tmp_path / "in", 2)], tmp_path, 3, 128)
    assert not list(tmp_path.glob("pictures.*"))


def test_processes_share_a_batch_without_a_word(tmp_path):
    packed = pack([folder(tmp_path / "in")], tmp_path, 3, 16)
    whole = Batches(packed, SMALL)[7]
    parts = [Batches(packed, SMALL, rank, 3)[7] for rank in range(3)]
    for field in ("x0", "noise", "sigma"):
        shared = torch.stack([getattr(part, field) for part in parts], 1).flatten(0, 1)
        assert torch.equal(shared, getattr(whole, field))
    assert not torch.equal(whole.x0, Batches(packed, SMALL)[8].x0)


def test_grey_crops_have_grey_noise_and_others_have_not(tmp_path):
    packed = pack([folder(tmp_path / "in")], tmp_path, 3, 16)
    r = Recipe(widths=(8, 16), batch=64, patch=16, grey=0.5)
    batch = Batches(packed, r)[0]
    grey = (batch.x0 == batch.x0[:, :1]).flatten(1).all(1)
    assert torch.equal(grey, (batch.noise == batch.noise[:, :1]).flatten(1).all(1))
    assert 20 <= int(grey.sum()) <= 44
    assert batch.noise.std().item() == pytest.approx(1, abs=0.02)
    assert batch.x0.min() >= 0 and batch.x0.max() <= 1


def test_noise_levels_cover_the_range_as_stated():
    r = Recipe(focus=0.5, focus_low=0.01, focus_high=0.1, sigma_min=0.001, sigma_max=1.0)
    assert [level(u, r) for u in (0.0, 0.25, 0.5, 0.75)] == pytest.approx([0.01, 0.1**1.5, 0.001, 0.001 * 1000**0.5])


def test_turned_only_where_the_recipe_says_so(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[::2] = 255  # rows stay rows under mirroring, and become columns when turned
    Image.fromarray(stripes).save(source / "rows.png")
    packed = pack([source], tmp_path, 3, 16)
    for turns, both in ((False, False), (True, True)):
        r = Recipe(widths=(8, 16), batch=32, patch=16, turns=turns)
        x0 = Batches(packed, r)[0].x0
        columns = (x0 == x0[:, :, :1]).flatten(1).all(1)
        assert bool(columns.any()) is both


def test_the_index_is_plain_json(tmp_path):
    pack([folder(tmp_path / "in", 4)], tmp_path, 1, 16)
    content = json.loads((tmp_path / "pictures.json").read_text())
    assert {item["shape"][2] for item in content["stored"]} == {1}


def test_documents_are_not_mirrored(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    ramp = np.tile(np.arange(40, dtype=np.uint8) * 6, (40, 1))
    Image.fromarray(ramp).save(source / "ramp.png")
    packed = pack([source], tmp_path, 3, 16)
    for mirror in (True, False):
        x0 = Batches(packed, Recipe(widths=(8, 16), batch=32, patch=16, mirror=mirror))[0].x0
        falling = x0[:, 0, 0, 0] > x0[:, 0, 0, -1]
        assert bool(falling.any()) is mirror


def test_a_grey_file_is_shown_with_both_kinds_of_noise(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    Image.fromarray(picture(0)[..., 0]).save(source / "grey.png")
    packed = pack([source], tmp_path, 3, 16)
    never = Batches(packed, Recipe(widths=(8, 16), batch=32, patch=16, grey=0))[0]
    assert not bool((never.noise == never.noise[:, :1]).flatten(1).all(1).any())
    batch = Batches(packed, Recipe(widths=(8, 16), batch=32, patch=16, grey=0.01))[0]
    equal = (batch.noise == batch.noise[:, :1]).flatten(1).all(1)
    assert torch.equal(batch.x0, batch.x0[:, :1].expand_as(batch.x0)) and 6 <= int(equal.sum()) <= 26
