"""Read scenarios from YAML and refuse them with the line and the fix.

A file names its ``suite`` and lists ``scenarios``. A turn may be a plain text. ``also`` in a scenario
lists other wordings of its last turn: one more scenario each, named ``<id>.2``, ``<id>.3``, ….
``frames`` of a file (name -> text with ``{request}``) makes each scenario one per frame, whose last turn
is the frame around it, named ``<id>.<frame>``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from everloop.contracts.errors import ShouldFixInput
from everloop.contracts.sandboxes import Suite, TestScenario
from everloop.contracts.yaml_lines import line_of, mapping_of, plain
from everloop.sandbox.criteria import problems_of

SHIPPED = Path(__file__).parent / "scenarios"
_KEYS = frozenset({"suite", "frames", "scenarios", "description"})
_START = "Start from a shipped suite; everloop sandbox scenarios shows where they are."

Location = tuple[str | int, ...]


def shipped(suites: Iterable[str] = ()) -> tuple[TestScenario, ...]:
    """The shipped scenarios of these suites, in the suites' order; of every one where none is named.

    Raises:
        ShouldFixInput: a suite is unknown.
    """
    wanted = tuple(suites)
    unknown = [name for name in wanted if name not in set(Suite)]
    if unknown:
        raise ShouldFixInput(
            f"There is no suite {unknown[0]!r}.", f"Suites: {', '.join(sorted(Suite))}."
        )
    found = _every_shipped()
    return tuple(each for each in found if not wanted or each.suite in wanted)


@functools.cache
def _every_shipped() -> tuple[TestScenario, ...]:
    return loaded((SHIPPED,))


def loaded(places: Sequence[Path]) -> tuple[TestScenario, ...]:
    """Scenarios of files, and of every ``*.yaml`` in folders, in the order of their names.

    Raises:
        ShouldFixInput: a place cannot be read or holds none, a scenario is wrong, or an id is used twice.
    """
    found: dict[str, TestScenario] = {}
    for place in places:
        files = sorted(place.glob("*.yaml")) if place.is_dir() else [place]
        if not files:
            raise ShouldFixInput(f"{place} holds no *.yaml.", "Name a folder with scenarios.")
        for file in files:
            for scenario in load(file):
                if scenario.id in found:
                    raise ShouldFixInput(
                        f"{file}: scenario {scenario.id!r} is in {found[scenario.id].source}, too.",
                        "Give it another id.",
                    )
                found[scenario.id] = scenario
    return tuple(found.values())


def load(path: Path) -> tuple[TestScenario, ...]:
    """Scenarios of one file; ``ShouldFixInput`` lists its problems as ``file:line: problem (fix)``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ShouldFixInput(f"{path} cannot be read: {problem}.", "Check the path.") from problem
    source = "shipped" if path.parent == SHIPPED else str(path)
    return parse(text, str(path), source)


def parse(text: str, where: str = "<text>", source: str = "") -> tuple[TestScenario, ...]:
    """Scenarios of a YAML text; ``where`` is the file's name that errors show."""
    document = mapping_of(text, where, ShouldFixInput, _START)
    refused = _Refused(document, where)
    suite, entries, frames = _parts(document, refused)
    found: dict[str, TestScenario] = {}
    for number, entry in enumerate(entries):
        place: Location = ("scenarios", number)
        if not isinstance(entry, CommentedMap):
            refused.add(place, "a scenario is no mapping (give id, description, turns, expect)")
            continue
        for raw in _written(plain(entry), plain(frames) if frames else {}):
            scenario = refused.scenario({"suite": suite, "source": source or where, **raw}, place)
            if scenario is not None and scenario.id in found:
                refused.add(place, f"id {scenario.id!r} is used twice (give it another)")
            elif scenario is not None:
                found[scenario.id] = scenario
    refused.stop()
    return tuple(found.values())


def _parts(document: CommentedMap, refused: _Refused) -> tuple[Any, Any, Any]:
    """Suite, entries and frames of a file; raises where one of them is wrong."""
    for key in document:
        if str(key) not in _KEYS:
            refused.add((str(key),), f"unknown key {key!r} (allowed: {', '.join(sorted(_KEYS))})")
    suite, entries, frames = (document.get(key) for key in ("suite", "scenarios", "frames"))
    if suite not in set(Suite):
        refused.add(("suite",), f"suite {suite!r} is unknown (suites: {', '.join(sorted(Suite))})")
    if not isinstance(entries, list) or not entries:
        refused.add(("scenarios",), "there are no scenarios (list at least one)")
    if frames is not None and not (
        isinstance(frames, CommentedMap)
        and all(isinstance(one, str) and "{request}" in one for one in frames.values())
    ):
        refused.add(("frames",), "a frame is no text with {request} in it (write {request} there)")
    refused.stop()
    return suite, entries, frames


def _written(entry: dict[str, Any], frames: dict[str, str]) -> list[dict[str, Any]]:
    """One entry as the scenarios that it stands for."""
    entry = dict(entry)
    also = entry.pop("also", ())
    turns = entry.get("turns")
    if not isinstance(turns, tuple) or not turns:
        return [entry]
    turns = tuple({"say": each} if isinstance(each, str) else each for each in turns)
    last = turns[-1]
    if not isinstance(last, dict) or not isinstance(also, tuple):
        return [{**entry, "turns": turns, **({"also": also} if also else {})}]
    name = str(entry.get("id"))
    found = [{**entry, "turns": turns}]
    found += [
        {
            **entry,
            "id": f"{name}.{number}",
            "turns": (*turns[:-1], {**last, "say": wording}),
            "source": f"variant of {name}",
        }
        for number, wording in enumerate(also, start=2)
    ]
    if not frames:
        return found
    return [
        {
            **each,
            "id": f"{each['id']}.{frame}",
            "turns": (*turns[:-1], _framed(each["turns"][-1], text)),
        }
        for each in found
        for frame, text in frames.items()
    ]


def _framed(turn: dict[str, Any], frame: str) -> dict[str, Any]:
    return {**turn, "say": frame.replace("{request}", str(turn.get("say", "")))}


class _Refused:
    """Problems of one file, each with its line, until they are raised together."""

    def __init__(self, document: CommentedMap, where: str) -> None:
        self._document, self._where = document, where
        self._lines: dict[str, None] = {}

    def add(self, location: Location, problem: str) -> None:
        line = line_of(self._document, location)
        self._lines[f"{self._where}:{line}: {problem}"] = None

    def scenario(self, raw: dict[str, Any], place: Location) -> TestScenario | None:
        try:
            scenario = TestScenario.model_validate(raw)
        except ValidationError as problem:
            for error in problem.errors(include_url=False):
                location = error["loc"]
                said = error["msg"].removeprefix("Value error, ")
                given = error["input"]
                shown = f" (given: {given!r})" if isinstance(given, str | int | float) else ""
                path = ".".join(str(part) for part in location)
                self.add((*place, *location), f"{path}: {said}{shown}" if path else said)
            return None
        for location, said in problems_of(scenario):
            self.add((*place, *location), said)
        return scenario

    def stop(self) -> None:
        if self._lines:
            raise ShouldFixInput("\n".join(self._lines))
