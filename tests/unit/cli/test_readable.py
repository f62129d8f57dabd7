"""What a candidate says never acts on the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.cli.readable import readable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Hello,\n\tworld", "Hello,\n\tworld"),
        ("\x1b[2Jgo", "\ufffd[2Jgo"),
        ("\x1b]52;c;cm0=\x07", "\ufffd]52;c;cm0=\ufffd"),
        ("no go\r   go", "no go\ufffd   go"),
        ("\x9b31m", "\ufffd31m"),
        ("\u202eog on", "\ufffdog on"),
        ("a\x00b\x7f\ud800", "a\ufffdb\ufffd\ufffd"),
        ("Grüße 👩\u200d🔬", "Grüße 👩\u200d🔬"),
    ],
)
def test_what_acts_is_shown(text: str, shown: str) -> None:
    assert readable(text) == shown


@given(st.text())
def test_it_keeps_the_length_and_can_be_told_in_parts(text: str) -> None:
    shown = readable(text)
    assert len(shown) == len(text)
    assert readable(shown) == shown
    assert "".join(readable(each) for each in text) == shown
    assert not any(ord(each) < 0x20 and each not in "\n\t" for each in shown)
