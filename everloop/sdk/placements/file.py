"""Read a placement from YAML and refuse it with the line and the fix."""

from __future__ import annotations

import difflib
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.comments import CommentedMap

from everloop.contracts.errors import ShouldFixPlatform
from everloop.contracts.placements import KINDS, AtAddress, CloudRun, KubeRay, Local, placement_of
from everloop.contracts.yaml_lines import line_of, mapping_of, plain

EXAMPLES = "infra/ray/kuberay.yaml or infra/ray/cloud_run.yaml"


def load_placement(path: str | Path) -> Local | AtAddress | KubeRay | CloudRun:
    """Read where a training runs.

    Raises:
        ShouldFixPlatform: listing every problem as ``file:line: problem (fix)``.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ShouldFixPlatform(
            f"{path} cannot be read: {problem}.", f"Check the path, or copy {EXAMPLES}."
        ) from None
    return parse_placement(text, str(path))


def parse_placement(text: str, where: str = "<text>") -> Local | AtAddress | KubeRay | CloudRun:
    """Parse YAML text into a placement; ``where`` is the file name that errors show.

    Raises:
        ShouldFixPlatform: listing every problem as ``file:line: problem (fix)``.
    """
    document = mapping_of(text, where, ShouldFixPlatform, f"Start from {EXAMPLES}.")
    kind = document.get("kind")
    if kind not in KINDS:
        line = line_of(document, ("kind",))
        raise ShouldFixPlatform(
            f"{where}:{line}: kind is {kind!r}, not one of {', '.join(KINDS)}.", "Name one."
        )
    try:
        return placement_of(plain(document))
    except ValidationError as problem:
        errors = problem.errors(include_url=False)
        raise ShouldFixPlatform(
            "\n".join(_explain(document, error, where) for error in errors)
        ) from None


def _explain(document: CommentedMap, error: ErrorDetails, where: str) -> str:
    # the first part is the kind, which is no key of the file; a bad key ends in "[key]"
    location = tuple(part for part in error["loc"][1:] if part != "[key]")
    path = ".".join(str(part) for part in location) or "the placement"
    line = f"{where}:{line_of(document, location)}"
    if error["type"] == "extra_forbidden":
        known = list(KINDS[str(document["kind"])].model_fields)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{line}: unknown key {path!r} ({hint if len(location) == 1 else 'take it out'})"
    if error["type"] == "missing":
        return f"{line}: {path!r} is missing (add it)"
    given = error["input"]
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{line}: {path}: {error['msg'].removeprefix('Value error, ')}{shown}"
