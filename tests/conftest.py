"""What all tests share: reproducible Hypothesis, one thread a process, and a reason wherever a CUDA test is skipped."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# As many processes as cores run tests, so that more than one thread in each of them only gets in the way. Set before
# torch is imported; processes that tests start inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

#: files whose slow tests take longest; they come first, so that no process is left alone with one of them at the end
LONGEST = ("tests/test_readme.py", "tests/test_notebooks.py", "tests/training/test_runs.py")

# Examples follow from the test's own code, so that a run on another machine tests the same; no deadline,
# because the machine may be busy.
settings.register_profile("zsir", derandomize=True, deadline=None, max_examples=30, print_blob=True)
settings.load_profile("zsir")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest files first; skip tests marked ``cuda`` where torch sees no CUDA device."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
    wanted = [item for item in items if item.get_closest_marker("cuda")]
    if not wanted:
        return
    import torch

    if not torch.cuda.is_available():
        reason = f"needs a CUDA device; torch {torch.__version__} sees none"
        for item in wanted:
            item.add_marker(pytest.mark.skip(reason=reason))
