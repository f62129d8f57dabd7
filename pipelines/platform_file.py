"""Read a platform from YAML and refuse it with the line and the fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.comments import CommentedMap

from everloop.contracts.errors import ShouldFixPlatform
from everloop.contracts.platform import Platform
from everloop.contracts.yaml_lines import line_of, mapping_of, plain

Location = tuple[int | str, ...]
EXAMPLE = "infra/kubeflow/platform.yaml"


def load_platform(path: str | Path, stages: Collection[str] | None = None) -> Platform:
    """Read the file of a cluster.

    Args:
        stages: see ``parse_platform``.

    Raises:
        ShouldFixPlatform: listing every problem as ``file:line: problem (fix)``.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ShouldFixPlatform(
            f"{path} cannot be read: {problem}.", f"Check the path, or copy {EXAMPLE}."
        ) from None
    return parse_platform(text, str(path), stages)


def parse_platform(
    text: str, where: str = "<text>", stages: Collection[str] | None = None
) -> Platform:
    """Parse YAML text into a ``Platform``; ``where`` is the file name that errors show.

    Args:
        stages: what may stand under ``steps``; by default every stage of every graph.

    Raises:
        ShouldFixPlatform: listing every problem as ``file:line: problem (fix)``.
    """
    document = mapping_of(text, where, ShouldFixPlatform, f"Start from {EXAMPLE}.")
    problems = list(_unknown_stages(document, where, stages))
    try:
        platform = Platform.model_validate(plain(document))
    except ValidationError as problem:
        errors = problem.errors(include_url=False)
        problems += [_explain(document, error, where) for error in errors]
    if problems:
        raise ShouldFixPlatform("\n".join(problems))
    return platform


def _unknown_stages(
    document: CommentedMap, where: str, stages: Collection[str] | None
) -> Iterator[str]:
    steps = document.get("steps")
    if not isinstance(steps, CommentedMap):
        return
    if stages is None:
        from pipelines.compile import STAGES  # noqa: PLC0415  (the graphs import kfp)

        stages = sorted({stage for graph in STAGES.values() for stage in graph})
    for name in steps:
        if name not in stages:
            line = line_of(document, ("steps", name))
            yield f"{where}:{line}: there is no stage {name!r} ({_nearest(str(name), stages)})"


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``X``, ``X | None``, ``dict[str, X]`` or ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(inner) for inner in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _allowed(location: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = Platform
    for key in location[:-1]:
        if isinstance(key, str) and key in model.model_fields:
            model = _model_in(model.model_fields[key].annotation) or model
    return list(model.model_fields)


_ABOUT_STAGE = re.compile(r"(?:Value error, )?steps\.(\w+) ")


def _explain(document: CommentedMap, error: ErrorDetails, where: str) -> str:
    # A mapping's bad key is reported at (…, key, "[key]"); an alternative of a union under its name.
    location: Location = tuple(
        part
        for index, part in enumerate(error["loc"])
        if part != "[key]" and not (index and isinstance(part, str) and _is_branch(part))
    )
    about = _ABOUT_STAGE.match(error["msg"])
    if not location and about is not None:
        location = ("steps", about[1])
    path = ".".join(str(part) for part in location) or "the platform"
    line = f"{where}:{line_of(document, location)}"
    if error["type"] == "extra_forbidden":
        return f"{line}: unknown key {path!r} ({_nearest(str(location[-1]), _allowed(location))})"
    if error["type"] == "missing":
        return f"{line}: {path!r} is missing (add it)"
    message = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    if error["type"] == "string_type" and shown:
        shown = f" (given: {given!r}; put it between quotes)"
    if error["type"] == "literal_error" and isinstance(given, str):
        choices = [str(choice) for choice in error["ctx"]["expected"].split("'")[1::2]]
        shown = f" (given: {given!r}; {_nearest(given, choices)})"
    return f"{line}: {path}: {message}{shown}"


def _is_branch(part: str) -> bool:
    return part.startswith(("constrained-", "literal["))
