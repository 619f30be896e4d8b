"""Seconds that ``import zsir`` and ``zsir --help`` take in a fresh interpreter: best of seven, less start-up.

The budget for ``import zsir`` is 0.3 s. Importing torch alone takes seconds, which is why zsir imports it
late; tests/test_imports.py holds it to that.
"""

from __future__ import annotations

import subprocess
import sys
import time

CASES = {
    "import zsir": "import zsir",
    "zsir.names.registry": "import zsir.names.registry",
    "zsir --help": "import sys, io; sys.argv = ['zsir', '--help']; sys.stdout = io.StringIO()\n"
    "from zsir.cli import main\n"
    "try: main()\nexcept SystemExit: pass",
}


def seconds(code: str, repeats: int = 7) -> float:
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    start_up = seconds("pass")
    print(f"{'python start-up':20s} {start_up:6.3f} s")
    for name, code in CASES.items():
        print(f"{name:20s} {seconds(code) - start_up:6.3f} s")


if __name__ == "__main__":
    main()
