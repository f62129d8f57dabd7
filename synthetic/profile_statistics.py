"""What a private release says of people's contexts: one noisy sum of one vector per person.

A person's vector holds, for every variable, the share of their episodes in each of its public bins;
divided by a public constant R and clipped to norm 1, so that one person moves the sum by at most 1.
The released sum is divided by the public number of expected people. Releases of several nights are
averaged with their mu^2 as weights, which is post-processing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from everloop.contracts.datasets import EncodingLayout, Float
from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.privacy import GaussianMechanism
from synthetic.marginals import counts_by_owner, total_bins, variables
from synthetic.noise import Noise
from synthetic.people import PeopleEpisodes

FORMAT = 1
_BATCH_PEOPLE = 10_000
_TYPICAL_SQUARE = 0.5
"""Public guess of the squared norm of one variable's shares, between 1 / episodes and 1. It sets R: a
wrong guess costs accuracy, never privacy."""


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """What the release says of itself; all public.

    ``precision``: mu^2 of every release that went into the average, older ones faded.
    ``deviation``: standard deviation of the noise in each entry of ``sums``, at most.
    """

    release_id: str
    loop: str
    encoder: str
    scale: float
    precision: float
    deviation: float
    people_expected: int
    sigma: float
    averaged_with: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class ProfileStatistics:
    """``sums`` (bins of all variables,): noisy people per bin, over R and the expected people."""

    sums: Float
    facts: ProfileFacts


def scale_of(layout: EncodingLayout) -> float:
    """R: a typical person's vector has norm 1 after division by it."""
    return float(np.sqrt(_TYPICAL_SQUARE * len(variables(layout))))


def person_vectors(layout: EncodingLayout, people: PeopleEpisodes) -> Float:
    """(P, bins) clipped vectors of P people's last episodes, each of norm at most 1."""
    real = people.rows >= 0
    vectors = counts_by_owner(
        layout,
        people.episodes.context[people.rows[real]],
        np.repeat(np.arange(len(people)), real.sum(axis=1)),
        people.share[real],
        len(people),
    ) / scale_of(layout)
    norm = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.maximum(norm, 1.0), dtype=np.float64)


def noisy_sums(
    layout: EncodingLayout,
    people: PeopleEpisodes,
    mechanism: GaussianMechanism,
    people_expected: int,
    noise: Noise,
) -> Float:
    """(bins,) (sum of the people's vectors + sigma * clip * z) / people_expected; clip is 1."""
    total = mechanism.sigma * mechanism.clip * noise((total_bins(layout),))
    for part in people.batches(_BATCH_PEOPLE):
        total = total + person_vectors(layout, part).sum(axis=0)
    return np.asarray(total / people_expected, dtype=np.float64)


def averaged(
    tonight: Float, mu_squared: float, previous: ProfileStatistics | None, kept: float
) -> tuple[Float, float]:
    """(sums, precision) of tonight and the nights before, weighted by mu^2.

    Noise variance is proportional to 1 / mu^2, so this is the average of least variance. ``kept`` < 1
    fades older nights, so that the average follows people who change.
    """
    if previous is None:
        return tonight, mu_squared
    older = previous.facts.precision * kept
    total = older + mu_squared
    return (previous.sums * older + tonight * mu_squared) / total, total


def save_statistics(path: Path | str, statistics: ProfileStatistics) -> Path:
    """Write a release as safetensors; the same release gives the same bytes."""
    metadata = {"everloop": json.dumps(asdict(statistics.facts), sort_keys=True)}
    return write_atomically(save({"sums": statistics.sums}, metadata=metadata), Path(path))


def load_statistics(path: Path | str, layout: EncodingLayout) -> ProfileStatistics:
    """Read a release; ``ShouldRestoreArtefact`` when it is damaged or of another encoding."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            sums = file.get_tensor("sums")
            document = json.loads(file.metadata()["everloop"])
        facts = ProfileFacts(**document)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no profile statistics ({problem}).", "Rerun generate_profiles."
        ) from problem
    fits = sums.shape == (total_bins(layout),) and np.isfinite(sums).all()
    if facts.format != FORMAT or facts.encoder != layout.encoder or not fits:
        raise ShouldRestoreArtefact(
            f"{path} holds profile statistics of encoder {facts.encoder}, not {layout.encoder}.",
            "Rerun generate_profiles with the present specification.",
        )
    return ProfileStatistics(sums, facts)
