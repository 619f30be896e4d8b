"""``zsir demo``: degrade and restore a photograph that ships with the package."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def demo(folder: Path) -> None:
    """Reduce a photograph by 4, restore it in four network calls, and show both pictures beside the original.

    The command writes observation.png, restored.png, contact_sheet.png and record.json into FOLDER.
    """
    from importlib.resources import as_file, files

    import zsir
    from zsir import pictures
    from zsir.cli.outputs import ResultFiles
    from zsir.cli.results import write_result
    from zsir.files import make_folder
    from zsir.workflow.record import digests, summary, write_record

    make_folder(folder)
    with as_file(files("zsir") / "assets" / "demo.png") as path:
        result = zsir.restore(path, "sr4x", prior="photo", sampler="cm4ir", nfe=4, simulate=True)
    planned = ResultFiles(0, folder / "restored.png", folder / "contact_sheet.png")
    pictures.write(folder / "observation.png", result.observation)
    record = write_result(result, planned, digests(result.source.path, result.settings))
    write_record(folder / "record.json", " ".join(["zsir", *sys.argv[1:]]), [record])
    click.echo(summary(record))
    click.echo(f"The bicubic enlargement has {record['observation_psnr']:.2f} dB; see {planned.sheet}.")
