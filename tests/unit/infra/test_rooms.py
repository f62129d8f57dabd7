"""``infra``: configuration alone, and a page that says what each room is for."""

from __future__ import annotations

import re
from pathlib import Path

from everloop.cli.app import app
from tests.unit.infra.manifests import ROOT

INFRA = ROOT / "infra"


def text_of(name: str) -> str:
    return (INFRA / name).read_text()


def test_there_is_no_python() -> None:
    assert list(INFRA.rglob("*.py")) == []


def test_every_room_is_explained() -> None:
    rooms = {path.name for path in INFRA.iterdir() if path.is_dir()}
    explained = set(re.findall(r"^\| `(\w+)/", text_of("README.md"), re.MULTILINE))
    assert rooms == explained


def test_files_that_are_named_are_there() -> None:
    for page in sorted(INFRA.glob("*/README.md")):
        named = re.findall(
            r"`((?:infra|checks|examples|components|overlays)/[\w./-]+)`", page.read_text()
        )
        for name in named:
            roots = (ROOT, page.parent)
            assert any((root / name).exists() for root in roots), f"{page}: {name}"
    for name in re.findall(r"^\| `(\w+\.tf)` \|", text_of("terraform/README.md"), re.MULTILINE):
        assert Path(INFRA / "terraform" / name).exists(), name


def test_commands_that_are_named_are_ours() -> None:
    ours = {one.name for one in (*app.registered_commands, *app.registered_groups)}
    pages = "".join(page.read_text() for page in (INFRA / "README.md", *INFRA.glob("*/README.md")))
    named = set(re.findall(r"`everloop ([a-z]+)", pages))
    assert {"migrate", "serve", "backup"} <= named <= ours
