"""What the command says about itself."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import zsir
from tests.cli.conftest import ENVIRONMENT
from zsir.names.citations import BIBTEX
from zsir.operators.catalogue import OPERATORS
from zsir.priors.catalogue import PRIORS
from zsir.samplers.catalogue import SAMPLERS

REGISTRIES = (OPERATORS, PRIORS, SAMPLERS)


def test_version(run):
    assert run("--version").out == f"zsir {zsir.__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help(run, arguments):
    done = run(*arguments)
    assert done.code == 0
    for word in ("solve", "degrade", "list", "describe", "cite", "demo", "_ZSIR_COMPLETE", "Exit codes"):
        assert word in done.out


@pytest.mark.parametrize("command", ["solve", "degrade", "list", "describe", "cite", "demo"])
def test_help_of_commands(run, command):
    assert run(command, "--help").out.startswith("Usage:")


def test_list(run):
    everything = run("list").out
    for registry in REGISTRIES:
        for name in [*registry.names(), *registry.aliases]:
            assert re.search(rf"^  {name} ", everything, re.MULTILINE)
    assert "sr4x" not in run("list", "priors").out and "photo" in run("list", "priors").out


@pytest.mark.parametrize("name", [n for r in REGISTRIES for n in (*r.names(), *r.aliases)])
def test_describe(run, name):
    done = run("describe", name)
    assert done.code == 0 and len(done.out.splitlines()) >= 3
    assert "``" not in done.out


def test_describe_says_all(run):
    out = run("describe", "sr4x").out
    assert out.startswith("sr4x is short for downsample:factor=4\n")
    assert re.search(r"^  factor +4 +pixels +reduction", out, re.MULTILINE)
    assert "Source: Keys 1981" in out and "sr4x-matlab" in out


@pytest.mark.parametrize("name", ["blur", "sr4x", "box", "gaussian", "hqs"])
def test_describe_leaves_sections_out(run, name):
    assert not re.search(r"^(Args|Attributes|Returns|Raises):", run("describe", name).out, re.MULTILINE)


def test_cite(run):
    assert run("cite").out.strip() == BIBTEX["zsir"]
    assert run("cite", "cm4ir", "keys", "cm4ir").out.split("\n\n") == [
        BIBTEX["zsir"],
        BIBTEX["cm4ir"],
        BIBTEX["keys"] + "\n",
    ]
    out = run("cite", "--op", "sr4x:kernel=box").out  # with the defaults of such a command
    assert all(BIBTEX[key] in out for key in ("keys", "edm", "cm4ir"))
    assert BIBTEX["dpir"] in run("cite", "--sampler", "hqs").out
    song, ho = (BIBTEX[key] for key in ("consistency", "ddpm"))
    assert song in run("cite", "--prior", "cm-cat").out
    ddpm = run("cite", "--prior", "ddpm-cat").out
    assert ho in ddpm and song not in ddpm


def test_module_and_completion():
    done = subprocess.run(
        [sys.executable, "-m", "zsir", "--version"], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert done.stdout == f"zsir {zsir.__version__}\n"
    code = "from zsir.cli import main; main(prog_name='zsir')"
    environment = {"_ZSIR_COMPLETE": "bash_complete", "COMP_WORDS": "zsir so", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**ENVIRONMENT, **environment}
    )
    assert "solve" in done.stdout
