"""What a private release says of people's contexts: one noisy sum of one vector per person.

A person's vector holds, for every variable, the share of their episodes in each of its public bins; for
every planned pair the share in each joint cell; and the moments of their persona vector. Each block is
divided by a public constant and clipped to norm 1, then multiplied by the square root of its part of
mu^2, so that one person moves the sum by at most 1. The released sum is divided by the public number of
expected people. Releases of several dates are averaged with their mu^2 as weights, which is
post-processing, as is the mixture that is fitted to them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from everloop.contracts.datasets import EncodingLayout, Float
from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.privacy import GaussianMechanism
from synthetic.noise import Noise
from synthetic.people import PeopleEpisodes
from synthetic.profiles.marginals import bins_of, counts_by_owner, total_bins, variables
from synthetic.profiles.mixture import Mixture, starts_of
from synthetic.profiles.pair_tables import PairLayout, pair_counts
from synthetic.profiles.persona_moments import moment_vectors, moments_width
from synthetic.profiles.persona_space import PersonaSpace
from synthetic.profiles.plan import ProfilePlan

FORMAT = 3
_BATCH_PEOPLE = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class ProfileBlocks:
    """What of a person goes into the release; public."""

    layout: EncodingLayout
    plan: ProfilePlan
    space: PersonaSpace | None
    """``None``: no persona moments."""

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Entries of 1-way shares, pairs and persona moments."""
        moments = moments_width(self.space.width) if self.space else 0
        return total_bins(self.layout), self.plan.pairs.cells, moments

    @property
    def parts(self) -> tuple[float, float, float]:
        """Their parts of mu^2."""
        return self.plan.shares_part, self.plan.pairs_part, self.plan.persona_part

    @property
    def roots(self) -> Float:
        """(entries,) the factor on each entry, the square root of its block's part."""
        return np.repeat(np.sqrt(self.parts), self.sizes)

    def vectors(self, people: PeopleEpisodes) -> Float:
        """(P, entries) vectors of P people's last episodes, each of norm at most 1."""
        layout, plan = self.layout, self.plan
        real = people.rows >= 0
        context = people.episodes.context[people.rows[real]]
        owner = np.repeat(np.arange(len(people)), real.sum(axis=1))
        weight = people.share[real]
        shares = counts_by_owner(layout, context, owner, weight, len(people))
        groups = plan.group_of[bins_of(layout, context)] - starts_of(plan.pairs.cards)
        pairs = pair_counts(plan.pairs, groups, owner, weight, len(people))
        blocks = [_clipped(shares / plan.shares_scale), _clipped(pairs / plan.pairs_scale)]
        if self.space is not None:
            blocks.append(moment_vectors(self.space, people))
        return np.asarray(np.concatenate(blocks, axis=1) * self.roots, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """What the release says of itself; all public.

    ``precision``: mu^2 of every release that went into the average, older ones faded.
    ``deviation``, ``pair_deviation``, ``persona_deviation``: standard deviation of the noise in each
    entry of ``sums``, ``pairs`` and ``moments``, at most. ``scale``, ``pair_scale``: the constants
    that their vectors were divided by. ``group``: coarse bin of each bin, over all variables;
    ``pair_list``: which variables' pairs have a table; ``parts``: each block's part of mu^2.
    ``persona_space``: version of the public space.
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
    pair_scale: float = 1.0
    pair_deviation: float = 1.0
    persona_deviation: float = 1.0
    group: tuple[int, ...] = ()
    pair_list: tuple[tuple[int, int], ...] = ()
    parts: tuple[float, float, float] = (1.0, 0.0, 0.0)
    persona_space: str = ""
    format: int = FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class ProfileStatistics:
    """A release, averaged over dates.

    Attributes:
        sums: (bins of all variables,) noisy people per bin, over ``facts.scale`` and the people expected.
        facts: what it says of itself.
        pairs: (cells of all pairs,) the same of joint cells, over ``facts.pair_scale``.
        moments: noisy moments of persona vectors; empty where none were released.
        mixture: fitted to shares and pairs; ``None`` where variables are drawn independently.
    """

    sums: Float
    facts: ProfileFacts
    pairs: Float = field(default_factory=lambda: np.zeros(0))
    moments: Float = field(default_factory=lambda: np.zeros(0))
    mixture: Mixture | None = None

    @property
    def vector(self) -> Float:
        """All released entries, as they were summed."""
        return np.concatenate([self.sums, self.pairs, self.moments])

    def pair_layout(self, layout: EncodingLayout) -> PairLayout:
        """Which tables ``pairs`` holds."""
        return pair_layout_of(self.facts, layout)


def pair_layout_of(facts: ProfileFacts, layout: EncodingLayout) -> PairLayout:
    """The 2-way tables that a release with these facts has."""
    cards = tuple(variable.bins for variable in variables(layout))
    if not facts.group:
        return PairLayout(cards, ())
    starts = starts_of(cards)
    group = np.asarray(facts.group)
    coarse = tuple(
        int(group[start + card - 1] - group[start]) + 1
        for start, card in zip(starts, cards, strict=True)
    )
    return PairLayout(coarse, facts.pair_list)


def noisy_sums(
    blocks: ProfileBlocks,
    people: PeopleEpisodes,
    mechanism: GaussianMechanism,
    people_expected: int,
    noise: Noise,
) -> Float:
    """(entries,) (sum of the people's vectors + sigma * clip * z) / people_expected; clip is 1.

    Each block is then divided by the square root of its part of mu^2, back to a vector of norm 1 for one
    person, whose noise is the larger for it.
    """
    total = mechanism.sigma * mechanism.clip * noise((sum(blocks.sizes),))
    for part in people.batches(_BATCH_PEOPLE):
        total = total + blocks.vectors(part).sum(axis=0)
    return np.asarray(total / blocks.roots / people_expected, dtype=np.float64)


def shares_alone(layout: EncodingLayout) -> ProfileBlocks:
    """1-way shares and nothing else."""
    cards = tuple(variable.bins for variable in variables(layout))
    plan = ProfilePlan(cards, tuple(range(sum(cards))), PairLayout(cards, ()), 1.0, 0.0, 0.0)
    return ProfileBlocks(layout, plan, None)


def statistics_of(
    blocks: ProfileBlocks, vector: Float, facts: ProfileFacts, mixture: Mixture | None = None
) -> ProfileStatistics:
    """A release from its entries, in the units of ``ProfileStatistics``."""
    ends = np.cumsum(blocks.sizes)
    if len(vector) != ends[-1]:
        raise ShouldFixArgument(f"A release has {ends[-1]} entries, not {len(vector)}.")
    sums, pairs, moments = np.split(vector, ends[:-1])
    return ProfileStatistics(sums, facts, pairs, moments, mixture)


def averaged(
    tonight: Float, mu_squared: float, previous: ProfileStatistics | None, kept: float
) -> tuple[Float, float]:
    """(entries, precision) of tonight and the releases before, weighted by mu^2.

    Noise variance is proportional to 1 / mu^2, so this is the average of least variance. ``kept`` < 1
    fades older releases, so that the average follows people who change.
    """
    if previous is None:
        return tonight, mu_squared
    older = previous.facts.precision * kept
    total = older + mu_squared
    return (previous.vector * older + tonight * mu_squared) / total, total


def restated(statistics: ProfileStatistics, people_expected: int) -> ProfileStatistics:
    """The same release as shares of another number of expected people; its counts stay as they are."""
    facts = statistics.facts
    factor = facts.people_expected / people_expected
    return replace(
        statistics,
        sums=statistics.sums * factor,
        pairs=statistics.pairs * factor,
        moments=statistics.moments * factor,
        facts=replace(
            facts,
            people_expected=people_expected,
            deviation=facts.deviation * factor,
            pair_deviation=facts.pair_deviation * factor,
            persona_deviation=facts.persona_deviation * factor,
        ),
    )


def save_statistics(path: Path | str, statistics: ProfileStatistics) -> Path:
    """Write a release as safetensors; the same release gives the same bytes."""
    metadata = {"everloop": json.dumps(asdict(statistics.facts), sort_keys=True)}
    tensors = {
        "sums": statistics.sums,
        "pairs": statistics.pairs,
        "moments": statistics.moments,
    }
    if statistics.mixture is not None:
        tensors |= {
            "mixture.weights": statistics.mixture.weights,
            "mixture.bins": statistics.mixture.bins,
        }
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return write_atomically(save(contiguous, metadata=metadata), Path(path))


def load_statistics(path: Path | str, layout: EncodingLayout) -> ProfileStatistics:
    """Read a release; ``ShouldRestoreArtefact`` when it is damaged or of another encoding."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            document = json.loads(file.metadata()["everloop"])
        document["group"] = tuple(document.get("group", ()))
        document["pair_list"] = tuple((i, j) for i, j in document.get("pair_list", ()))
        document["parts"] = tuple(document.get("parts", (1.0, 0.0, 0.0)))
        facts = ProfileFacts(**document)
        _require_fit(path, facts, tensors, layout)
        mixture = None
        if "mixture.weights" in tensors:
            cards = tuple(variable.bins for variable in variables(layout))
            mixture = Mixture(tensors["mixture.weights"], tensors["mixture.bins"], cards)
        return ProfileStatistics(
            tensors["sums"], facts, tensors["pairs"], tensors["moments"], mixture
        )
    except (
        OSError,
        SafetensorError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        ShouldFixArgument,
    ) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no profile statistics ({problem}).", "Rerun generate_profiles."
        ) from problem


def _require_fit(
    path: Path | str, facts: ProfileFacts, tensors: dict[str, Float], layout: EncodingLayout
) -> None:
    finite = all(np.isfinite(tensor).all() for tensor in tensors.values())
    if facts.format != FORMAT:
        raise ShouldRestoreArtefact(
            f"{path} holds profile statistics of format {facts.format}, not {FORMAT}.",
            "Rerun generate_profiles.",
        )
    fits = tensors["sums"].shape == (total_bins(layout),) and finite
    fits = fits and facts.encoder == layout.encoder
    if not fits or tensors["pairs"].shape != (pair_layout_of(facts, layout).cells,):
        raise ShouldRestoreArtefact(
            f"{path} holds profile statistics of encoder {facts.encoder}, not {layout.encoder}.",
            "Rerun generate_profiles with the present specification.",
        )


def _clipped(vectors: Float) -> Float:
    norm = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.maximum(norm, 1.0), dtype=np.float64)
