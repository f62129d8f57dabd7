"""Whether the sandbox speaks as the service would: both say what they speak with, by one function."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from everloop.contracts.canonical import canonical_json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.sandboxes import (
    SAID_EVERY,
    ConfigurationDrift,
    RunningVoice,
    VoiceConfiguration,
    VoiceOpening,
)
from everloop.contracts.voice_spec import GenerationSpec, VoiceSpec

ABSENT = "(absent)"
RECENT = 2 * SAID_EVERY
"""How old a running service's word on what it speaks with may be: twice as old as it gets."""
GENERATION, PERSONA, ADAPTER = "generation", "persona", "adapter "
BEST_OF, SCORER = "answers drawn", "scorer"
"""How many answers are drawn, and the checksum of what takes one of them."""
NO_SCORER = "none"
_DTYPES = {"cuda": "bfloat16", "cpu": "float32"}
"""What an engine computes in where nothing else is asked for."""
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors")
"""Packages whose versions decide what a voice says."""


def configuration_of(
    opening: VoiceOpening, speaking: Sequence[str], prompting: Sequence[str], device: str = "cpu"
) -> VoiceConfiguration:
    """What a voice that is opened so speaks with.

    Args:
        speaking: names of the packages of ours that hold the model and draw answers.
        prompting: those that build the prompt.
        device: type of the device that the model is on; it decides the precision, too.

    Raises:
        ShouldFixArgument: a package cannot be found.
    """
    spec = VoiceSpec.model_validate_json(opening.voice)
    settings = {
        "base": opening.base.sha256,
        "context tokens": str(opening.base.context_tokens),
        PERSONA: hashlib.sha256(opening.graph.encode()).hexdigest(),
        "device": device,
        "dtype": _DTYPES.get(device, "float32"),
        GENERATION: drawn(spec.generation),
        BEST_OF: str(spec.reward_model.drawn),
        SCORER: opening.scorer if opening.scorer and spec.reward_model.drawn > 1 else NO_SCORER,
        "voice": canonical_json(_spoken(spec)),
        "code": code_sha256(speaking),
        "prompt": code_sha256(prompting),
        **{f"{ADAPTER}{each.version}": each.sha256 for each in opening.adapters},
        **{f"package {name}": _version(name) for name in PACKAGES},
    }
    return VoiceConfiguration(settings)


def drawn(generation: GenerationSpec) -> str:
    """How answers are drawn, as the setting ``GENERATION`` says it."""
    return canonical_json(generation.model_dump(mode="json"))


def spoken_with(
    configuration: VoiceConfiguration, generation: GenerationSpec
) -> VoiceConfiguration:
    """The configuration with how answers were really drawn: by this generation, and one alone, which no
    scorer took. What a service takes out of several is another answer than any that was tried."""
    really = {GENERATION: drawn(generation), BEST_OF: "1", SCORER: NO_SCORER}
    return VoiceConfiguration({**configuration.settings, **really})


def lasting(configuration: VoiceConfiguration) -> VoiceConfiguration:
    """What stays as it is for as long as a service runs: all but the adapters, with their
    scorers, and the persona."""
    kept = {
        name: value
        for name, value in configuration.settings.items()
        if name not in (PERSONA, SCORER) and not name.startswith(ADAPTER)
    }
    return VoiceConfiguration(kept)


def drift_of(
    sandbox: VoiceConfiguration, service: VoiceConfiguration, running: Iterable[RunningVoice] = ()
) -> ConfigurationDrift:
    """Every setting in which they differ; one that the other lacks does.

    Adapters that the sandbox alone has are those that the candidate is compared with, and no difference.

    Args:
        service: what the service would speak with, opened here and now.
        running: what each speaks with that runs: its code or its specification may be older.
    """
    differing, compared = dict(_differing(sandbox, service)), list[str]()
    for each in running:
        said = _differing(lasting(sandbox), lasting(each.configuration))
        differing |= {f"{name} of {each.instance}": pair for name, pair in said.items()}
        when = each.published_at.isoformat(timespec="seconds")
        compared.append(f"{each.instance} at {when}")
    return ConfigurationDrift(differing, ", ".join(compared))


def _differing(
    sandbox: VoiceConfiguration, service: VoiceConfiguration
) -> dict[str, tuple[str, str]]:
    own = {name for name in sandbox.settings if not name.startswith(ADAPTER)}
    names = sorted({*own, *service.settings})
    found = {
        name: (sandbox.settings.get(name, ABSENT), service.settings.get(name, ABSENT))
        for name in names
    }
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def code_sha256(packages: Sequence[str]) -> str:
    """SHA-256 of the packages' sources: names and contents of their ``*.py``, in order."""
    digest = hashlib.sha256()
    for package in packages:
        try:
            found = importlib.import_module(package).__file__
        except ImportError as problem:
            raise ShouldFixArgument(f"There is no package {package!r}.", "Name ours.") from problem
        if found is None:
            raise ShouldFixArgument(f"{package!r} has no sources.", "Name a package with a file.")
        place = Path(found)
        files = sorted(place.parent.rglob("*.py")) if place.name == "__init__.py" else [place]
        for file in files:
            name = f"{package}/{file.relative_to(place.parent)}"
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()


def _spoken(spec: VoiceSpec) -> dict[str, object]:
    """What of a voice goes into its prompts."""
    names = {"persona", "system", "traits", "exemplars", "memory_items"}
    return spec.model_dump(mode="json", include=names)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ABSENT
