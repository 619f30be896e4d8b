"""The command's fixtures, for results that Python and the command must share."""

from tests.cli.conftest import folder, run

__all__ = ["folder", "run"]
