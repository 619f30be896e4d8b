"""What all tests share: reproducible Hypothesis, and a reason wherever a CUDA test is skipped."""

from __future__ import annotations

import pytest
from hypothesis import settings

# Examples follow from the test's own code, so that a run on another machine tests the same; no deadline,
# because the machine may be busy.
settings.register_profile("zsir", derandomize=True, deadline=None, max_examples=30, print_blob=True)
settings.load_profile("zsir")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``cuda`` where torch sees no CUDA device."""
    wanted = [item for item in items if item.get_closest_marker("cuda")]
    if not wanted:
        return
    import torch

    if not torch.cuda.is_available():
        reason = f"needs a CUDA device; torch {torch.__version__} sees none"
        for item in wanted:
            item.add_marker(pytest.mark.skip(reason=reason))
