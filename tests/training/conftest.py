"""What tests of training share."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """The bits of a CPU result depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
