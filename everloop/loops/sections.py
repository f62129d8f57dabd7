"""A loop specification as the pipeline carries it: five JSON texts, one per concern.

Stages take only the sections that they read, so that a change of, say, ``training`` leaves the
results of every earlier stage valid.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from everloop.contracts.errors import ShouldFixLoopSpec
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.voice_spec import VoiceSpec

TUNABLE = ("privacy", "training", "thresholds", "rollout")
_PARAMETER = {"rollout": "terms"}
"""Graphs call a trial's record ``rollout``, so the section travels under another name."""
NOT_LEARNED_FROM = ("train_after_episodes", "train_after_hours")
"""Of the section ``serving`` no stage reads these: when the service trains must not make yesterday's
results stale. How fast its exploration decays decides what candidates are judged at."""


@dataclass(frozen=True, slots=True)
class Sections:
    """JSON texts: ``product`` is everything but the four tunable sections, the voice and when the service
    trains; ``terms`` is the section ``rollout``."""

    product: str
    privacy: str
    training: str
    thresholds: str
    terms: str


def split(spec: LoopSpec) -> Sections:
    """Split a specification; canonical, so that equal specifications give equal texts."""
    whole: dict[str, Any] = spec.model_dump(mode="json", exclude_defaults=True)
    parts = {
        _PARAMETER.get(name, name): _text(getattr(spec, name).model_dump(mode="json"))
        for name in TUNABLE
    }
    product = {key: value for key, value in whole.items() if key not in {*TUNABLE, "voice"}}
    serving = {k: v for k, v in product.pop("serving", {}).items() if k not in NOT_LEARNED_FROM}
    if serving:
        product["serving"] = serving
    return Sections(product=_text(product), **parts)


def voice_text(spec: LoopSpec) -> str:
    """The section ``voice`` as a JSON text; ``{}`` where nothing speaks for the product."""
    return "{}" if spec.voice is None else _text(spec.voice.model_dump(mode="json"))


def voice_of(spec: LoopSpec) -> VoiceSpec:
    """Who speaks for a product.

    Raises:
        ShouldFixLoopSpec: nothing does.
    """
    if spec.voice is None:
        raise ShouldFixLoopSpec(
            f"Loop {spec.name!r} has no voice.", "Give its specification a section voice."
        )
    return spec.voice


def assemble(
    product: str,
    privacy: str = "{}",
    training: str = "{}",
    thresholds: str = "{}",
    terms: str = "{}",
    voice: str = "{}",
) -> LoopSpec:
    """Put sections together again; an absent one has its defaults, and an absent voice says nothing.

    Raises:
        ShouldFixLoopSpec: a section is no JSON, or not what ``LoopSpec`` allows.
    """
    texts = {
        "privacy": privacy,
        "training": training,
        "thresholds": thresholds,
        "rollout": terms,
    }
    document = dict(_parse("product", product))
    document.update({name: _parse(name, text) for name, text in texts.items()})
    document["voice"] = _parse("voice", voice) or None
    return _validated(document)


def override(spec: LoopSpec, settings: tuple[str, ...]) -> LoopSpec:
    """Apply ``section.key=value`` settings, as given on the command line.

    Raises:
        ShouldFixLoopSpec: naming the setting that cannot be applied and what is allowed.
    """
    document: dict[str, Any] = spec.model_dump(mode="json")
    for setting in settings:
        path, separator, text = setting.partition("=")
        *parents, key = path.strip().split(".")
        node = document
        for parent in parents:
            inner: Any = node.get(parent)
            node = inner if isinstance(inner, dict) else {}
        if not separator or key not in node:
            known = ", ".join(f"{name}.{field}" for name in TUNABLE for field in document[name])
            raise ShouldFixLoopSpec(f"Setting {setting!r} names nothing.", f"Known: {known}.")
        node[key] = _value(text)
    return _validated(document)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as problem:
        raise ShouldFixLoopSpec(f"Section {name} is no JSON: {problem}.", "Correct it.") from None
    if not isinstance(value, dict):
        raise ShouldFixLoopSpec(f"Section {name} is no mapping.", "Give a JSON object.")
    return value


def _validated(document: dict[str, Any]) -> LoopSpec:
    try:
        return LoopSpec.model_validate(document)
    except ValidationError as problem:
        lines = [
            f"{'.'.join(map(str, error['loc'])) or 'the loop'}: "
            f"{error['msg'].removeprefix('Value error, ')} (given: {error['input']!r:.80})"
            for error in problem.errors(include_url=False)
        ]
        raise ShouldFixLoopSpec("\n".join(lines)) from None
