"""What a released user model says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FORMAT = 4


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """All public.

    ``interacting``: dimensions of the context that move between decisions. ``sampling_rate``: 1 for
    full-batch steps. ``precision``: mu^2 of this release and of those that it was warm-started from, as
    far as they still count. ``noise_deviation``: root mean square over the weights of the standard
    deviation that noise gives them; ``noise_share``: share of the variance of predicted logits, over
    synthetic contexts, that is noise. ``action_features``, ``descriptors``: names of what describes
    actions and partners. ``states``: checksum of what the context's dimensions mean, which outlives a
    change of the catalogue, as the encoder's version does not; empty where no layout was known.
    """

    release_id: str
    loop: str
    encoder: str
    actions: tuple[str, ...]
    signals: tuple[str, ...]
    interacting: tuple[int, ...]
    sigma: float
    clip: float
    steps: int
    sampling_rate: float
    mu_squared: float
    learning_rate: float
    precision: float
    people_expected: int
    noise_deviation: float
    noise_share: float
    warm_start: str
    kind: str = "linear"
    action_features: tuple[str, ...] = ()
    descriptors: tuple[str, ...] = ()
    states: str = ""
    format: int = FORMAT


def facts_from(document: Mapping[str, object]) -> ReleaseFacts:
    """The facts that a file holds; ``ValueError`` for another format, ``TypeError`` for other fields."""
    if document.get("format") != FORMAT:
        raise ValueError(f"format {document.get('format')!r}, not {FORMAT}")
    lists = {name: tuple(value) for name, value in document.items() if isinstance(value, list)}
    return ReleaseFacts(**{**document, **lists})  # type: ignore[arg-type]
