"""Experiments that ship with zsir: how the embedded prior was made and measured."""

from __future__ import annotations

if __name__ == "experiments":
    raise ImportError("This folder is installed as 'zsir.experiments'; write 'import zsir.experiments'.")
