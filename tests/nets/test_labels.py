"""Class-conditional networks: one rule for every family that has an option ``label``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.nets.adm_reference import Plan, randomised
from tests.nets.hub_folders import SCHEDULERS, write
from zsir import priors
from zsir.errors import BadSpec
from zsir.priors.catalogue import PRIORS
from zsir.priors.checkpoints import cards
from zsir.priors.checkpoints.labels import chosen_class

PLAN = Plan(head_width=16, classes=5)
ADM_KINDS = ("ddpm", "consistency", "edm")
NAMES = ["hub", "folder", "adm", *cards.cards()]


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Specs of networks that know five classes, without a label: every scheduler's folder, and ADM's three kinds."""
    root: Path = tmp_path_factory.mktemp("classes")
    found = {}
    for family in SCHEDULERS:
        write(root / family, family, num_class_embeds=5)
        found[family] = f"folder:path={root / family}"
    found["card"] = f"cm-imagenet:path={root / 'consistency'}"
    torch.save(randomised(PLAN).state_dict(), root / "net.pt")
    for kind in ADM_KINDS:
        (root / f"{kind}.json").write_text(json.dumps({"num_head_channels": 16, "kind": kind}))
        found[f"adm {kind}"] = f"adm:path={root / 'net.pt'},config={root / kind}.json"
    return found


@pytest.mark.parametrize("family", [*SCHEDULERS, "card", *(f"adm {kind}" for kind in ADM_KINDS)])
def test_none_given_is_class_0(specs: dict[str, str], family: str) -> None:
    spec = specs[family]
    x, sigma = torch.rand(1, 3, 16, 18, generator=torch.Generator().manual_seed(0)), torch.tensor([0.3])
    unsaid, first, third = (priors.load(spec + end).denoise(x, sigma) for end in ("", ",label=0", ",label=3"))
    assert torch.equal(unsaid, first)
    assert float((first - third).abs().max()) > 1e-5
    name = spec.partition(":")[0]
    for label in (-2, 5):
        with pytest.raises(BadSpec, match=rf"^{name}:label={label}: the network knows the classes 0 \.\.\. 4\.$"):
            priors.load(f"{spec},label={label}")


def test_all_priors_with_the_option_are_known_here() -> None:
    having = [name for name in PRIORS.names() if "label" in {p.name for p in PRIORS.describe(name).parameters}]
    assert sorted(having) == sorted(NAMES)
    defaults = {p.default for name in NAMES for p in PRIORS.describe(name).parameters if p.name == "label"}
    assert len(defaults) == 1


def test_networks_without_classes_refuse_one() -> None:
    assert chosen_class("net", -1, 0) is None
    with pytest.raises(BadSpec, match="net:label=0: this network knows no classes; leave label out"):
        chosen_class("net", 0, 0)
    assert [chosen_class("net", label, 3) for label in (-1, 0, 2)] == [0, 0, 2]
