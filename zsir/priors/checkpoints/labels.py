"""Which class a class-conditional network is asked for: one rule for all families."""

from __future__ import annotations

from zsir.errors import BadSpec

#: the option's value that says: none given
UNSAID = -1

#: the class where none is given
DEFAULT = 0


def chosen_class(name: str, label: int, classes: int) -> int | None:
    """The class for the option ``label`` of prior ``name``, one of ``classes``; None for a network without classes.

    Raises `BadSpec` for a class that does not exist.
    """
    if not classes:
        if label != UNSAID:
            raise BadSpec(f"{name}:label={label}: this network knows no classes; leave label out.")
        return None
    if label != UNSAID and not 0 <= label < classes:
        raise BadSpec(f"{name}:label={label}: the network knows the classes 0 ... {classes - 1}.")
    return DEFAULT if label == UNSAID else label
