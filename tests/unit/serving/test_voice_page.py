"""What the voice's page tells people to send is what the service takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from pydantic import TypeAdapter

from everloop.serving.api.speak import SpeakBody

PAGE = Path(__file__).parents[3] / "docs" / "voice.md"


def test_the_voices_example_can_be_sent() -> None:
    found = re.findall(r"^curl .*/api/ml/speak .*$", PAGE.read_text(), re.MULTILINE)
    assert len(found) == 1
    words = shlex.split(found[0])
    body = TypeAdapter(SpeakBody).validate_json(words[words.index("-d") + 1])
    assert body.said[-1].role == "user"
    assert words[words.index("-H") + 1].startswith("Authorization: Bearer ")
