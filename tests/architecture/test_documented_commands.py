"""Every command that the documentation shows exists, with the options that it is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.documented_commands import Block, blocks_of, commands_of, inline_of, run_block, unknown

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for place in (ROOT, ROOT / "docs", ROOT / "infra")
    for path in (place.rglob("*.md") if place.name == "infra" else place.glob("*.md"))
    if "CHANGELOG" not in path.name
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_document_exists(path: Path) -> None:
    problems = [
        f"{block.place}: everloop {' '.join(words)}: {problem}"
        for block in blocks_of(path)
        if block.language in {"sh", "bash", "console"}
        for words in commands_of(block)
        if (problem := unknown(words))
    ]
    assert problems == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_within_a_line_exists(path: Path) -> None:
    """One may be named without all that it needs."""
    problems = [
        f"{path}:{line}: everloop {' '.join(words)}: {problem}"
        for line, words in inline_of(path)
        if (problem := unknown(words)).startswith(("no command", "No such option"))
    ]
    assert problems == []


def block(text: str) -> Block:
    return Block(Path("x.md"), 1, "sh", text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("everloop init", [("init",)]),
        ("everloop init # a word", [("init",)]),
        ("# everloop init", []),
        ("echo everloop init", []),
        ("A=1 everloop init --home x", [("init", "--home", "x")]),
        ("KEY=$(everloop keys create --name a)", [("keys", "create", "--name", "a")]),
        ('KEY="$(everloop keys list)"; echo $KEY', [("keys", "list")]),
        ("everloop init && everloop doctor > out.txt", [("init",), ("doctor",)]),
        ("everloop runs list | head -1", [("runs", "list")]),
        (
            "everloop run daily \\\n  --loop companion --date 2026-03-28",
            [("run", "daily", "--loop", "companion", "--date", "2026-03-28")],
        ),
        (".venv/bin/everloop init", [("init",)]),
        ("if ! everloop doctor; then echo no; fi", [("doctor",)]),
        (
            'everloop models back companion --reason "worse\nthan before"',
            [("models", "back", "companion", "--reason", "worse\nthan before")],
        ),
    ],
)
def test_commands_are_found(text: str, found: list[tuple[str, ...]]) -> None:
    assert list(commands_of(block(text))) == found


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("init", ""),
        ("--version", ""),
        ("keys list --json", ""),
        ("keys lost", "no command 'lost'"),
        ("init --house x", "No such option"),
        ("run daily --date 2026-03-28", "Missing option"),
        ("backup prune --from x --keep-daily many", "Invalid value"),
    ],
)
def test_what_does_not_exist_is_told(words: str, problem: str) -> None:
    told = unknown(tuple(words.split()))
    assert problem in told
    assert bool(problem) == bool(told)


def test_blocks_are_read_with_what_stands_before_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n```sh\neverloop init\n```\n\n<!-- not run: needs a server -->\n\n```sh\necho b\n```\n"
        "\n<!-- exit: 3 -->\n```sh\nexit 3\n```\n\n1. in a list\n\n   ```sh\n   echo c\n   ```\n"
        "\n```\nplain\n```\n"
    )
    found = blocks_of(page)
    assert [(b.line, b.language, b.text, b.not_run, b.code) for b in found] == [
        (4, "sh", "everloop init", "", 0),
        (10, "sh", "echo b", "needs a server", 0),
        (15, "sh", "exit 3", "", 3),
        (21, "sh", "echo c", "", 0),
        (25, "", "plain", "", 0),
    ]


def test_commands_within_lines_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`everloop` runs `everloop keys list` or `everloop review …`.\n\n```sh\n`everloop no`\n```\n"
        "| `everloop privacy plan / status` | `everloop lost --x …` |\n"
    )
    found = inline_of(page)
    assert found == (
        (1, ("keys", "list")),
        (1, ("review",)),
        (6, ("privacy", "plan")),
        (6, ("lost", "--x")),
    )
    assert unknown(("voice", "versions", "--lop", "x")).startswith("No such option")


def test_a_block_that_ends_otherwise_is_told(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"]}
    assert run_block(block("touch made"), tmp_path, environment) == ""
    assert (tmp_path / "made").exists()
    told = run_block(block("echo why; false | cat; echo never"), tmp_path, environment)
    assert "x.md:1 ended with 1" in told
    assert "why" in told
    assert "never" not in told
