"""Foreign text made fit for where it is shown."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.common.text import printable, terminal_line


def test_bytes_that_are_no_text_are_shown_escaped():
    assert printable(os.fsdecode(b"caf\xe9.mp4")) == "caf\\xe9.mp4"
    assert printable("caf\N{LATIN SMALL LETTER E WITH ACUTE}.mp4") == "caf\N{LATIN SMALL LETTER E WITH ACUTE}.mp4"


@pytest.mark.parametrize("text", ["a\ud800b", "a\udbffb", "a\udc00b", "a\udfffb"])
def test_halves_of_characters_are_shown_escaped(text):
    assert printable(text) == f"a\\u{ord(text[1]):04x}b"


@given(st.text(st.characters(), max_size=20))
def test_whatever_it_is_given_can_be_written(text):
    printable(text).encode("utf-8")
    assert "\n" not in terminal_line(text)
