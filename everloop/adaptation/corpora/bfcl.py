"""Tool calls of bfcl-eval (Berkeley Function Calling Leaderboard, Apache-2.0), as JSON text.

What the assistant says is the first accepted call: for every argument the first accepted value, optional
arguments left out where that is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from everloop.adaptation.corpora.corpus_row import CorpusRow
from everloop.adaptation.installed import package_folder
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import Message, Role

SUITES = (
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
)
INSTRUCTION = (
    "You can call these functions. Answer with the calls alone, as a JSON list of objects with the keys "
    '"name" and "arguments".\n'
)
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


def bfcl_rows() -> Iterator[CorpusRow]:
    """One row a question that has one turn and an accepted answer.

    Raises:
        ShouldRestoreArtefact: the package is not installed, or its files are others.
    """
    folder = package_folder("bfcl_eval", "bfcl-eval") / "data"
    for suite in SUITES:
        name = f"BFCL_v4_{suite}.json"
        wanted = {
            told["id"]: told["ground_truth"] for told in _lines(folder / "possible_answer" / name)
        }
        for told in _lines(folder / name):
            if told["id"] in wanted and len(told["question"]) == 1:
                yield _row(told, wanted[told["id"]])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                if line.strip():
                    yield json.loads(line)
    except (OSError, ValueError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} is not as expected ({problem}).",
            "Reinstall bfcl-eval as the lock file pins it.",
        ) from problem


def _row(told: dict[str, Any], truth: list[dict[str, Any]]) -> CorpusRow:
    functions = "\n".join(json.dumps(each, ensure_ascii=False) for each in told["function"])
    said = [Message(_ROLES[turn["role"]], turn["content"]) for turn in told["question"][0]]
    own = "\n\n".join(turn.content for turn in said if turn.role == "system")
    system = "\n\n".join(part for part in (own, INSTRUCTION + functions) if part)
    calls = [
        {"name": name, "arguments": _arguments(accepted)}
        for call in truth
        for name, accepted in call.items()
    ]
    return CorpusRow(
        told["id"],
        (
            Message("system", system),
            *(turn for turn in said if turn.role != "system"),
            Message("assistant", json.dumps(calls, ensure_ascii=False)),
        ),
        Category.TOOL,
    )


def _arguments(accepted: dict[str, list[Any]]) -> dict[str, Any]:
    return {
        name: _plain(values[0]) for name, values in accepted.items() if values and "" not in values
    }


def _plain(value: Any) -> Any:
    """An accepted value; inside an object every member has a list of accepted values of its own."""
    if isinstance(value, dict):
        return {
            name: _plain(values[0] if isinstance(values, list) and values else values)
            for name, values in value.items()
            if not (isinstance(values, list) and "" in values)
        }
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
