"""When, where and by which command work was done, for the reader of a report."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch


def session(command: str, items: int, rank: int, device: torch.device) -> dict[str, Any]:
    """What `RunFolder.begun` keeps of a process that begins to work on a run of ``items`` solves."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return {
        "began": now(),
        "command": command,
        "items": items,
        "rank": rank,
        "machine": platform.node(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "device": name,
    }


def now() -> str:
    """The time, to the second: ``2025-01-31 12:00:00 UTC``."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _processor() -> str:
    """The name that the kernel gives the processor; the architecture where it gives none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
