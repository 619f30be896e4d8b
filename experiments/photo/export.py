"""Turn a training checkpoint into the weights file that the package ships.

    python -m zsir.experiments.photo.export RUN/checkpoint.pt photo.safetensors

The averaged network is stored in half precision with its configuration in the header; prints the SHA-256.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from zsir.experiments.photo.train import CONFIG


def export(checkpoint: Path, out: Path) -> str:
    """Write ``out`` whole or not at all; returns its SHA-256."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    tensors = {name: t.half().contiguous() for name, t in state["ema"].items()}
    metadata = {"config": json.dumps(dataclasses.asdict(CONFIG)), "step": str(state["step"])}
    temporary = out.with_suffix(".tmp")
    save_file(tensors, temporary, metadata)
    temporary.replace(out)
    return hashlib.sha256(out.read_bytes()).hexdigest()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m zsir.experiments.photo.export CHECKPOINT OUT")
    sys.stdout.write(export(Path(sys.argv[1]), Path(sys.argv[2])) + "\n")
