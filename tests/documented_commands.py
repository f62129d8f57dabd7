"""Commands in documentation: found, parsed against the command line, and run.

A Markdown file shows commands in fenced ``sh`` blocks. What stands on the line before a block says what
becomes of it:

``<!-- not run: reason -->``  it is only parsed
``<!-- exit: 2 -->``          it is run, and its last command ends with that

A command within a line, `` `everloop …` ``, is parsed, too, where it has more than a name.

Every other ``sh`` block with an ``everloop`` command is run, in the order of the file, by ``bash -eu`` in
one folder. Every ``everloop`` command of any block must be one that exists, with options that exist.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

from everloop.cli.app import app

PROGRAM = "everloop"
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[^\s`]*).*$")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.*?) -->")
_EXIT = re.compile(r"<!-- exit: (?P<code>\d+) -->")
_INLINE = re.compile(r"`(everloop [^`]+)`")
_OPERATORS = frozenset({";", "&&", "||", "|", "&", "(", ")", "$(", "|&", ";;", "{", "}"})
_REDIRECTS = re.compile(r"[<>]+&?")
_LEADING = frozenset({"then", "do", "else", "!", "time", "exec", "sudo", "env", "if", "while"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")


@dataclass(frozen=True)
class Block:
    """A fenced block of a file.

    Attributes:
        line: number of its first line of content, from 1.
        language: what the fence says; empty where it says nothing.
        text: its content.
        not_run: why it is not run; empty where it is.
        code: what its last command ends with.
    """

    path: Path
    line: int
    language: str
    text: str
    not_run: str = ""
    code: int = 0

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


def blocks_of(path: Path) -> tuple[Block, ...]:
    """Every fenced block of a Markdown file, in order."""
    found, lines = [], path.read_text().splitlines()
    number, before = 0, ""
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened is None:
            before = lines[number].strip() or before
            number += 1
            continue
        first = number = number + 1
        indent = len(opened["indent"])
        while number < len(lines) and not lines[number].strip().startswith(opened["fence"]):
            number += 1
        text = "\n".join(line[indent:] for line in lines[first:number])
        reason, code = _NOT_RUN.fullmatch(before), _EXIT.fullmatch(before)
        found.append(
            Block(
                path,
                first + 1,
                opened["language"],
                text,
                reason["reason"] if reason else "",
                int(code["code"]) if code else 0,
            )
        )
        number, before = number + 1, ""
    return tuple(found)


def commands_of(block: Block) -> tuple[tuple[str, ...], ...]:
    """The words after ``everloop`` of each such command in a block, substitutions included."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    return tuple(words for line in _statements(joined) for words in _of_line(line))


def inline_of(path: Path) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Each command that stands within a line of text: its line, from 1, and the words after ``everloop``.

    What follows an ellipsis or stands for something in general ends it.
    """
    within = {n for block in blocks_of(path) for n in _lines_of(block)}
    found: list[tuple[int, tuple[str, ...]]] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if number not in within:
            told = (re.split(" [/…]|…", code)[0] for code in _INLINE.findall(line))
            found.extend((number, words) for code in told for words in _of_line(code) if words)
    return tuple(found)


def _lines_of(block: Block) -> range:
    return range(block.line, block.line + len(block.text.splitlines()))


def unknown(words: tuple[str, ...]) -> str:
    """What is wrong with a command, without running it; empty for one that the command line takes."""
    command: Any = _program()
    context, rest = typer.Context(command, info_name=PROGRAM), list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        found = command.get_command(context, name)
        if found is None:
            return f"no command {name!r} in {context.command_path}"
        command, context = found, typer.Context(found, info_name=name, parent=context)
    if not rest and hasattr(command, "commands"):
        return ""
    try:
        command.make_context(command.name, rest)
    except typer.Exit:  # --help and --version
        return ""
    except Exception as problem:
        told = getattr(problem, "format_message", None)
        return str(told() if told else repr(problem))
    return ""


@cache
def _program() -> Any:
    return typer.main.get_command(app)  # of typer's own copy of click


def run_block(block: Block, folder: Path, environment: Mapping[str, str]) -> str:
    """Run a block as a script; what is wrong with how it ended, empty for nothing.

    Args:
        folder: where it runs.
        environment: of the process, whole.
    """
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", block.text],
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if done.returncode == block.code:
        return ""
    return f"{block.place} ended with {done.returncode}, not {block.code}:\n{done.stdout}"


def _statements(text: str) -> Iterator[str]:
    """Lines, with what stands within quotes over several of them in one."""
    waiting = ""
    for line in text.splitlines():
        waiting = f"{waiting}\n{line}" if waiting else line
        try:
            shlex.split(waiting, comments=True)
        except ValueError:
            continue
        yield waiting
        waiting = ""
    if waiting:
        yield waiting


def _of_line(line: str) -> Iterator[tuple[str, ...]]:
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from _of_line(inner)
    outside = re.sub(r"\$\([^()]*\)", "SUBSTITUTED", line)
    lexer = shlex.shlex(outside, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] | None = None
    starts, skip = True, False
    for token in lexer:
        if skip:
            skip = False
        elif token in _OPERATORS:
            if words is not None:
                yield tuple(words)
            words, starts = None, True
        elif _REDIRECTS.fullmatch(token):
            skip = True
        elif words is not None:
            words.append(token)
        elif starts and (token in _LEADING or _ASSIGNMENT.fullmatch(token)):
            continue
        else:
            words, starts = ([] if starts and Path(token).name == PROGRAM else None), False
    if words is not None:
        yield tuple(words)
