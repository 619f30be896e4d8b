"""Which pictures the embedded priors may learn from."""

import pytest

from tools.photo.fetch import allowed, copyright_rules, rule_of

TEXT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: images/*
Copyright: 2010 A. Person
  2012 Another
License: CC-BY-3.0 and Bitstream

Files: images/free/* images/dog.jpg
Copyright: 2010 A. Person
License: CC0-1.0
 A text that speaks of GPL-3 and all else.
"""


def test_the_last_rule_for_a_file_counts_with_all_that_its_licence_says():
    rules = copyright_rules(TEXT)
    found = [
        rule_of(path, rules) for path in ("images/cat.jpg", "images/free/cat.png", "images/dog.webp", "other/cat.jpg")
    ]
    assert [rule.licence if rule else None for rule in found] == ["CC-BY-3.0 and Bitstream", "CC0-1.0", "CC0-1.0", None]
    assert found[0] is not None and found[0].author == "2010 A. Person 2012 Another"


@pytest.mark.parametrize(
    "licence", ["public-domain", "CC0", "CC-BY-2.5", "CC0-1.0 and CC-BY-3.0", "GPL-2+ or CC-BY-4.0"]
)
def test_free_ones(licence):
    assert allowed(licence)


@pytest.mark.parametrize(
    "licence", ["CC-BY-SA-3.0", "CC-BY-NC-3.0", "CC-BY-3.0 and CC-BY-NC-3.0", "GPL-3 or LGPL-3", ""]
)
def test_others(licence):
    assert not allowed(licence)
