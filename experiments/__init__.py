"""Experiments: the engine behind ``zsir run``, the specs that ship, and how the embedded prior was made."""

from __future__ import annotations

if __name__ == "experiments":
    raise ImportError("This folder is installed as 'zsir.experiments'; write 'import zsir.experiments'.")
