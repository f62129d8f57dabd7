"""The examples of the page on the client run as they stand, in their order, against a real service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from everloop.sdk import AsyncClient
from tests.unit.sdk.client.conftest import Running

PAGE = Path(__file__).resolve().parents[4] / "docs" / "sdk.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
TITLES = [block.strip().splitlines()[-1][:40] for block in BLOCKS]


@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=TITLES)
def test_an_example_runs(number: int, service: Running, tmp_path: Path) -> None:
    known: dict[str, Any] = {"url": service.url, "key": service.key, "folder": tmp_path}
    exec(compile(BLOCKS[number], f"{PAGE.name}, example {number + 1}", "exec"), known)


def test_the_page_has_its_examples() -> None:
    assert len(BLOCKS) == 11
    assert PAGE.read_text().count("```python") == len(BLOCKS)
    assert AsyncClient.__name__ in BLOCKS[-1]
