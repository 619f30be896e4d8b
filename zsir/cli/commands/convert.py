"""``zsir convert``: research checkpoints as safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from zsir.cli import options


@dataclass(frozen=True)
class ConvertOptions:
    """The options of ``zsir convert``."""

    source: Path
    out: Path
    config: Path | None
    kind: str | None
    overwrite: bool


@click.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path, readable=False))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="JSON file with the published options of an ADM network. Needed if its tensors' shapes do not tell them.",
)
@click.option(
    "--kind",
    type=click.Choice(("ddpm", "consistency", "edm")),
    help="How an ADM network was trained. Needed if its file does not tell, as edm for edm_*.pt.",
)
@options.overwrite
@options.into(ConvertOptions)
def convert(settings: ConvertOptions) -> None:
    """Convert a research checkpoint to safetensors. No code in the checkpoint is run.

    OUT is a file that ends in .safetensors, or a folder in diffusers' layout. ADM (guided-diffusion) networks and
    consistency models become a UNet2DModel, which the prior adm:path=OUT and diffusers read. Other checkpoints keep
    the names of their tensors, and OUT must be a file. IN may also be a file or folder that this command wrote.
    """
    from zsir.errors import BadInput, BadSpec, Incompatible
    from zsir.priors.checkpoints.adm.saved import read_notes, save_file, weights_file
    from zsir.priors.checkpoints.families import ADM, looks_like
    from zsir.priors.checkpoints.tensors import metadata, read_tensors

    s = settings
    single = s.out.suffix == ".safetensors"
    inside = weights_file(s.source)
    tensors, converted = read_tensors(inside), read_notes(inside) is not None
    if inside != s.source and not converted:
        raise BadInput(
            f"{s.source} was not written by 'zsir convert'; a folder in diffusers' layout is used as it is: "
            f"--prior folder:path={s.source}"
        )
    family = looks_like(tensors) or "a network of unknown kind"
    count = sum(tensor.numel() for tensor in tensors.values())
    click.echo(f"{s.source}: {family}, {count / 1e6:.1f} million parameters in {len(tensors)} tensors")
    if family == ADM or converted:
        del tensors
        _convert_adm(s, single)
    elif s.config or s.kind:
        option = "config" if s.config else "kind"
        raise BadSpec(f"--{option} is for ADM networks only; {s.source} holds {family}.")
    elif not single:
        raise Incompatible(
            f"{family[0].upper()}{family[1:]} has no diffusers layout; write a file ending in .safetensors."
        )
    else:
        save_file(s.out, tensors, metadata(inside), s.overwrite)
    click.echo(f"wrote {s.out}")


def _convert_adm(s: ConvertOptions, single: bool) -> None:
    from zsir.priors.checkpoints.adm.load import load_adm
    from zsir.priors.checkpoints.adm.saved import save_folder, save_network

    net, shape, found = load_adm(s.source, s.config or "", s.kind or "")
    mult = ", ".join(f"{width / shape.model_channels:g}" for width in shape.widths)
    heads = f"{found.heads} heads" if found.heads else f"heads of {found.head_channels}"
    order = "q, k, v apart" if found.split_attention else "q, k, v per head"
    click.echo(f"  {found.kind}, {shape.model_channels} channels x ({mult}), {shape.blocks} blocks per level")
    click.echo(f"  attention at levels {[k for k, at in enumerate(shape.attention) if at]}, {heads}, {order}")
    flags = {
        "scale-shift": shape.scale_shift,
        "residual resizing": shape.updown,
        "learned variance": shape.learned_variance,
        f"{shape.classes} classes": bool(shape.classes),
    }
    click.echo("  " + (", ".join(name for name, has in flags.items() if has) or "unconditional"))
    (save_network if single else save_folder)(s.out, net, shape, found, s.overwrite)
