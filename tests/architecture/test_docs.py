"""Documents say what is there: paths exist, commands exist, options exist, decisions are numbered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from everloop.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PATH = re.compile(r"`((?:everloop|rl|synthetic|components|pipelines|tests|bench|docs)/[\w./*-]+)`")
LINK = re.compile(r"\]\(([\w./-]+)\)")
COMMAND = re.compile(r"^(?:\$ )?everloop ((?:[a-z-]+ ?)+)", re.MULTILINE)
INLINE = re.compile(r"`everloop ([a-z][a-z-]*(?: [a-z][a-z-]*)?)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_paths_and_links_exist(document: Path) -> None:
    text = document.read_text()
    missing = [path for path in PATH.findall(text) if not list(ROOT.glob(path.rstrip("/")))]
    missing += [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    assert missing == []


def commands() -> dict[str, set[str]]:
    root = get_command(app)
    groups = getattr(root, "commands", {})
    return {name: set(getattr(group, "commands", {})) for name, group in groups.items()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_commands_exist(document: Path) -> None:
    text = document.read_text()
    known = commands()
    for words in [*COMMAND.findall(text), *INLINE.findall(text)]:
        first, *rest = words.split()
        if first.startswith("-"):
            continue
        assert first in known, words
        if known[first] and rest:
            assert rest[0] in known[first], words


def test_every_command_teaches() -> None:
    runner = CliRunner()
    for name, inner in commands().items():
        for words in [[name], *([name, sub] for sub in inner)]:
            shown = runner.invoke(app, [*words, "--help"])
            assert shown.exit_code == 0
            assert "Usage:" in shown.output
            assert len(shown.output.split("\n\n")) > 2, words


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", text, re.MULTILINE):
        name = next(filter(None, target))
        if name.startswith("bench-"):
            module = ROOT / "bench" / name.removeprefix("bench-").replace("-", "_")
            assert module.with_suffix(".py").exists() or module.is_dir()
        else:
            assert f"\n{name}:" in makefile


def test_decisions_are_numbered_without_gaps() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for number, path in enumerate(decisions, 1):
        assert path.read_text().startswith(f"# {number}. ")
