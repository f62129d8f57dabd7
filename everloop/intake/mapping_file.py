"""Mappings as YAML: read with the line and the fix of every mistake, and written as a template."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from everloop.contracts.episodes import Arm, Json
from everloop.contracts.errors import ShouldFixMapping
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec
from everloop.contracts.yaml_lines import line_of, mapping_of
from everloop.intake.cells import text_of
from everloop.intake.conformity import did_you_mean
from everloop.intake.mapping import ImportMapping, Source

Location = tuple[int | str, ...]


def load_mapping(path: Path, spec: LoopSpec) -> ImportMapping:
    """Read a mapping and check it against its loop.

    Raises:
        ShouldFixMapping: listing every problem as ``file:line: problem (fix)``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ShouldFixMapping(f"{path} cannot be read: {problem}.", "Check the path.") from problem
    return parse_mapping(text, spec, str(path))


def parse_mapping(text: str, spec: LoopSpec, where: str = "<text>") -> ImportMapping:
    """Parse YAML text into a mapping; ``where`` is the file name that errors show.

    Raises:
        ShouldFixMapping: listing every problem as ``file:line: problem (fix)``.
    """
    document = mapping_of(
        text, where, ShouldFixMapping, "Start from the template that everloop writes."
    )
    try:
        mapping = ImportMapping.model_validate(_plain(document))
    except ValidationError as problem:
        lines = [_explain(document, error, where) for error in problem.errors(include_url=False)]
        raise ShouldFixMapping("\n".join(lines)) from None
    misfits = [
        f"{where}:{line_of(document, location)}: {problem}"
        for location, problem in _misfits(mapping, spec)
    ]
    if misfits:
        raise ShouldFixMapping("\n".join(misfits))
    return mapping


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {text_of(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    return node


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``X``, ``X | None``, ``dict[str, X]`` or ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        if (found := _model_in(inner)) is not None:
            return found
    return None


def _allowed(location: Location) -> list[str]:
    model: type[BaseModel] = ImportMapping
    for key in location[:-1]:
        if isinstance(key, str) and key in model.model_fields:
            model = _model_in(model.model_fields[key].annotation) or model
    return list(model.model_fields)


def _explain(document: CommentedMap, error: ErrorDetails, where: str) -> str:
    location = error["loc"]
    path = ".".join(str(part) for part in location) or "the mapping"
    line = f"{where}:{line_of(document, location)}"
    if error["type"] == "extra_forbidden":
        allowed = _allowed(location)
        near = difflib.get_close_matches(str(location[-1]), allowed, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed)}"
        return f"{line}: unknown key {path!r} ({fix})"
    if error["type"] == "missing":
        return f"{line}: {path!r} is missing (add it)"
    message = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{line}: {path}: {message}{shown}"


def _misfits(mapping: ImportMapping, spec: LoopSpec) -> Iterator[tuple[Location, str]]:
    """Where a well-formed mapping does not fit its loop."""
    declared = {field.name: field for field in spec.context}
    for name, source in mapping.context.items():
        location: Location = ("context", name)
        if name not in declared:
            yield location, f"{name!r} is no context field ({did_you_mean(name, declared)})"
        elif source.prefix is not None and declared[name].kind is not FieldKind.VECTOR:
            yield (
                (*location, "prefix"),
                f"{name!r} is a {declared[name].kind}, not a vector (use column)",
            )
    for name in declared:
        if name not in mapping.context:
            yield ("context",), f"context field {name!r} is not mapped (add it)"
    for index, signal in enumerate(mapping.signals):
        if signal.type not in spec.signal_names:
            hint = did_you_mean(signal.type, spec.signal_names)
            yield ("signals", index, "type"), f"{signal.type!r} is no signal of the loop ({hint})"
    yield from _unknown("action", mapping.action, spec.action_ids, "action of the loop")
    yield from _unknown("arm", mapping.arm, tuple(Arm), "arm")


def _unknown(
    key: str, source: Source, known: tuple[str, ...], what: str
) -> Iterator[tuple[Location, str]]:
    constants: list[tuple[Location, Json]] = []
    if "const" in source.model_fields_set:
        constants.append(((key, "const"), source.const))
    for cell, value in (source.values or {}).items():
        constants.append(((key, "values", cell), value))
    for location, value in constants:
        if value not in known:
            yield location, f"{value!r} is no {what} ({did_you_mean(str(value), known)})"


_EXAMPLES = {
    FieldKind.NUMBER: "a number within {low:g}..{high:g}",
    FieldKind.VECTOR: "{width} numbers within {low:g}..{high:g}",
    FieldKind.CATEGORY: "one of: {choices}",
    FieldKind.CYCLE: "a number within 0..{period:g}",
    FieldKind.HISTORY: 'a list of at most {width} {{"action": id, "reward": r or null}}, newest last',
}


def _context_line(field: ContextField) -> str:
    source = f"{{prefix: {field.name}_}}" if field.kind is FieldKind.VECTOR else field.name
    says = _EXAMPLES[field.kind].format(
        low=field.low,
        high=field.high,
        width=field.width,
        choices=", ".join(field.choices),
        period=field.period,
    )
    return f"  {field.name}: {source}  # {says}"


def mapping_template(spec: LoopSpec) -> str:
    """A commented mapping for a loop, ready to have its column names replaced."""
    context = "\n".join(_context_line(field) for field in spec.context)
    signals = "\n".join(
        f"  - {{type: {signal.name}, column: {signal.name}, "
        f"latency: {signal.name}_seconds, confidence: {{const: 1}}}}"
        f"  # {signal.low:g}..{signal.high:g}"
        for signal in spec.signals
    )
    return f"""\
# Mapping of your log to the loop {spec.name!r}. Right of each colon stands one of
#   name                                a column
#   {{column: name, values: {{A: a}}}}      a column whose cells are translated
#   {{const: value}}                      the same value for every row

# Once per decision; importing a file again is then a replay. A column of UUIDs (episode_id: name),
# or columns that together name one decision:
episode_id: {{key: [user_id, timestamp]}}
user_id: user_id  # your own id; it is stored as a keyed hash only
timestamp: {{column: timestamp, format: rfc3339}}  # rfc3339 (with its offset), epoch_s or epoch_ms
action: action  # one of: {", ".join(spec.action_ids[:8])}{", ..." if len(spec.action_ids) > 8 else ""}

# Probability in (0, 1] with which the action was chosen, exploration included. Rows without one are
# kept but never used to judge another policy. Leave the line out if you have none.
propensity: propensity
# Actions that could have been chosen: a list, a JSON list, or ids separated by |. Leave the line out
# if every action was always possible.
valid_actions: valid_actions

context:
{context}

model_version: {{const: before-everloop}}
# {", ".join(Arm)}; 'comparison' is stored and reported, never learnt from.
arm: {{const: active}}

# An empty cell means that there was no signal. Instead of latency (seconds from the decision), at:
# takes the moment of the signal, written like timestamp.
signals:
{signals}
"""
