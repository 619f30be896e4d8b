"""What the settings of the shipped recipes are worth: small networks trained from nothing, alike but for them.

    python -m tools.photo.recipes PICTURES OUT [--val FOLDER] [--steps N] [--only NAME ...]

Prints what each run measured at its end: mean PSNR (dB) of denoising the pictures of --val, by default the 34 held-out
crops, at noise 15, 25 and 50 of 255. ``texture`` is 0.5 beside ``log`` and 0.75 elsewhere. A run that is in OUT already
is gone on with.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

COMMON = "recipe:widths=32+64+96,blocks=1,patch=96,batch=8,steps={steps},every={steps},ema=0.995"
SETTINGS = {
    "adamw": "",
    "muon": ",optimiser=muon",
    "muon, lr 2e-3": ",optimiser=muon,lr=2e-3",
    "muon, log": ",optimiser=muon,log=true,texture=0.5",
    "muon, shapes": ",optimiser=muon,shapes=0.25",
    "muon, log, shapes": ",optimiser=muon,log=true,shapes=0.25,texture=0.5",
    "muon, log, shapes, lr 2e-3": ",optimiser=muon,log=true,shapes=0.25,texture=0.5,lr=2e-3",
}


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--val", type=Path, default=Path(str(files("zsir.experiments") / "data" / "eval34")))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--only", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    args = parser.parse_args()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    print("| | 15 | 25 | 50 |\n|---|---|---|---|")
    for name in args.only:
        folder = args.out / name.replace(", ", "-").replace(" ", "-")
        made_with = COMMON.format(steps=args.steps) + SETTINGS[name]
        command = [sys.executable, "-m", "zsir", "train", str(args.pictures), "--out", str(folder)]
        command += ["--recipe", made_with, "--val", str(args.val), "--device", "cpu"]
        subprocess.run(command, check=True, stderr=sys.stderr, stdout=sys.stderr, env=environment)
        _, _, *levels = (folder / "curve.tsv").read_text("utf-8").splitlines()[-1].split("\t")
        print(f"| {name} | {' | '.join(levels)} |", flush=True)


if __name__ == "__main__":
    main()
