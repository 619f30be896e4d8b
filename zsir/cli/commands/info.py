"""``zsir list``, ``zsir describe`` and ``zsir cite``: the names, their formulas and options, and their papers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import click

from zsir.errors import UnknownName
from zsir.names.registry import Registry
from zsir.operators.catalogue import OPERATORS
from zsir.priors.catalogue import PRIORS
from zsir.priors.checkpoints.cards import cards, on_this_machine
from zsir.samplers.catalogue import SAMPLERS

#: what else can be listed: the experiments that ship
SPECS = "specs"
KINDS: dict[str, Registry] = {"ops": OPERATORS, "priors": PRIORS, "samplers": SAMPLERS}


@click.command("list")
@click.argument("kind", required=False, type=click.Choice([*KINDS, SPECS]))
def list_names(kind: str | None) -> None:
    """List the operators, priors, samplers and shipped experiments, one a line."""
    chosen = [kind] if kind else [*KINDS, SPECS]
    for place, name in enumerate(chosen):
        if name == SPECS:
            _list_specs(place)
            continue
        registry = KINDS[name]
        click.echo(("\n" if place else "") + f"{registry.kind.capitalize()}s")
        rows = [(n, registry.summary(n) + (_place(n) if registry is PRIORS else "")) for n in registry.names()]
        rows += [(alias, f"short for {spec}") for alias, spec in registry.aliases.items()]
        _table(rows)


def _list_specs(place: int) -> None:
    """The experiments that ship, by the first line of their files."""
    from zsir.experiments.spec import shipped

    click.echo(("\n" if place else "") + "Experiments (zsir run NAME)")
    first = {name: path.read_text(encoding="utf-8").partition("\n")[0] for name, path in shipped().items()}
    _table([(name, line.removeprefix("# ").rstrip(".")) for name, line in first.items()])


def _place(prior: str) -> str:
    """Where the weights of a prior with a card are."""
    card = cards().get(prior)
    if card is None:
        return ""
    return " (on this machine)" if on_this_machine(card.id) else f" (to download: {card.megabytes} MB)"


@click.command()
@click.argument("name")
def describe(name: str) -> None:
    """Print the formula, options and source of an operator, prior or sampler."""
    registry = _home(name)
    about = registry.describe(name)
    if name in registry.aliases:
        click.echo(f"{name} is short for {registry.aliases[name]}\n")
    click.echo(f"{about.name} ({registry.kind}): {about.summary}\n")
    click.echo(about.formula.replace("``", ""))
    if about.parameters:
        click.echo("\nOptions")
        header = ("name", "default", "unit", "meaning")
        _table([header, *((p.name, p.default, p.unit, p.help) for p in about.parameters)])
    if about.source:
        click.echo(f"\nSource: {about.source}")
    aliases = [alias for alias, spec in registry.aliases.items() if spec.partition(":")[0] == about.name]
    if aliases:
        click.echo("\nShort names: " + ", ".join(aliases))


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--op", metavar="SPEC", help="Operator of a command.")
@click.option("--prior", metavar="SPEC", help="Prior of a command.")
@click.option("--sampler", metavar="SPEC", help="Sampler of a command.")
def cite(names: Sequence[str], op: str | None, prior: str | None, sampler: str | None) -> None:
    """Print BibTeX entries of zsir and of the papers that it builds on.

    NAME is an operator, a prior, a sampler, or the key of an entry. With --op, --prior or --sampler, zsir cites the
    parts of a command; for a part that you leave out it cites the default.
    """
    from zsir.names.citations import BIBTEX

    entries = [BIBTEX["zsir"]]
    for name in names:
        entries.append(BIBTEX[name] if name in BIBTEX else _home(name).describe(name).bibtex)
    if op or prior or sampler:
        prior, sampler = prior or "photo", sampler or "cm4ir"
    for registry, spec in ((OPERATORS, op), (PRIORS, prior), (SAMPLERS, sampler)):
        if spec:
            entries.append(registry.describe(registry.parse(spec).name).bibtex)
    # a description may hold several entries, and two may share one
    single = [entry for text in entries for entry in text.split("\n\n") if entry]
    click.echo("\n\n".join(dict.fromkeys(single)))


def _home(name: str) -> Registry:
    """The registry that knows ``name``; raises `UnknownName`."""
    for registry in KINDS.values():
        if name in registry.names() or name in registry.aliases:
            return registry
    known = [n for registry in KINDS.values() for n in (*registry.names(), *registry.aliases)]
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    raise UnknownName(f"There is nothing called '{name}'{hint} 'zsir list' shows all names.")


def _table(rows: Iterable[Sequence[str]]) -> None:
    """Rows of text in aligned columns, the last one as long as it is."""
    rows = list(rows)
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  " + "  ".join([*cells, row[-1]]).rstrip())
