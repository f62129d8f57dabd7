"""Read a loop specification from YAML and refuse it with the line and the fix."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.comments import CommentedMap

from everloop.contracts.errors import ShouldFixLoopSpec
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.yaml_lines import line_of, mapping_of, plain

SHIPPED = ("companion", "open_bandit")


def shipped_path(name: str) -> Path:
    """Path of a specification that ships with everloop; ``ShouldFixLoopSpec`` for another name."""
    if name not in SHIPPED:
        near = difflib.get_close_matches(name, SHIPPED, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Shipped loops: {', '.join(SHIPPED)}."
        raise ShouldFixLoopSpec(
            f"There is no loop {name!r}.", f"{hint} Or give the path of a file that ends in .yaml."
        )
    return Path(__file__).parent / f"{name}.yaml"


def load(name_or_path: str | Path) -> LoopSpec:
    """Load a shipped loop by name, or any loop by path.

    Raises:
        ShouldFixLoopSpec: listing every problem as ``file:line: problem (fix)``.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = shipped_path(str(name_or_path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ShouldFixLoopSpec(
            f"{path} cannot be read: {problem}.", "Check the path."
        ) from problem
    return parse(text, str(path))


def parse(text: str, where: str = "<text>") -> LoopSpec:
    """Parse YAML text into a ``LoopSpec``; ``where`` is the file name that errors show.

    Raises:
        ShouldFixLoopSpec: listing every problem as ``file:line: problem (fix)``.
    """
    document = mapping_of(text, where, ShouldFixLoopSpec, "Start from a shipped loop.")
    try:
        return LoopSpec.model_validate(plain(document))
    except ValidationError as problem:
        lines = [_explain(document, error, where) for error in problem.errors(include_url=False)]
        raise ShouldFixLoopSpec("\n".join(lines)) from None


def _allowed(location: tuple[int | str, ...]) -> list[str]:
    model: Any = LoopSpec
    for key in location[:-1]:
        if isinstance(key, int):
            continue
        annotation = model.model_fields[key].annotation
        arguments = getattr(annotation, "__args__", ())
        model = arguments[0] if arguments else annotation
    return list(model.model_fields)


def _explain(document: CommentedMap, error: ErrorDetails, where: str) -> str:
    location = error["loc"]
    path = ".".join(str(part) for part in location) or "the loop"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        key = str(location[-1])
        allowed = _allowed(location)
        near = difflib.get_close_matches(key, allowed, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed)}"
        return f"{where}:{line_of(document, location)}: unknown key {path!r} ({fix})"
    if error["type"] == "missing":
        return f"{where}:{line_of(document, location)}: {path!r} is missing (add it)"
    if not location:
        # A rule across sections speaks of the one it is about in its first words.
        named = (str(key) for key in document)
        about = [k for k in named if message.startswith(k.replace("_", " ").rstrip("s"))]
        location = tuple(about[:1])
    given = error["input"]
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{where}:{line_of(document, location)}: {path}: {message}{shown}"
