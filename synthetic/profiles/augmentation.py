"""Rows made from real people's data: their own profiles, and variations within their own bounds.

They are real people's data. No noise covers them, so they stay inside the trust boundary: each says so
by its source and its release id, and ``require_generated`` refuses them wherever profiles leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, EncodingLayout, Float32, Int
from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldFixArgument, ShouldStayInside
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ProfileSource, SyntheticProfile, inside_profile_id
from synthetic.people import PeopleEpisodes, gather, people_of
from synthetic.profiles.persona_moments import person_vectors
from synthetic.profiles.persona_space import PersonaSpace, persona_space
from synthetic.profiles.traits import traits_of

INSIDE = "inside-the-trust-boundary"
"""Release id of rows that no release covers."""
JITTER = 0.05
"""Standard deviation of what is added to a mixed number, as a share of the person's own range."""
_PEOPLE = 1_000


def augment(
    spec: LoopSpec,
    layout: EncodingLayout,
    episodes: EncodedEpisodes,
    per_person: int = 1,
    seed: int = 0,
) -> Iterator[SyntheticProfile]:
    """For every person one row of source real, then ``per_person`` of source augmented.

    The real row holds the person's newest context, mean vector and last interactions. An augmented row
    mixes two of their contexts, numbers anywhere between the two and jittered within the person's own
    range, categories and cycles from either.

    Args:
        spec: the loop.
        layout: which dimensions of a context mean what.
        episodes: of consenting people; holdout and comparison are left out here.
        per_person: variations of each person, 0 or more.
        seed: of the mixing.

    Raises:
        ShouldFixArgument: ``per_person`` or ``seed`` is negative, or the layout is another.
        ShouldFixInput: a context leaves [-1, 1].
    """
    if per_person < 0 or seed < 0:
        raise ShouldFixArgument(f"per_person={per_person} and seed={seed} are not both 0 or more.")
    if (layout.encoder, layout.width) != (episodes.encoder, episodes.context.shape[1]):
        raise ShouldFixArgument(
            f"Layout {layout.encoder} is not that of the episodes, {episodes.encoder}.",
            "Pass the layout of the encoder that made the episodes.",
        )
    own = episodes.where(~episodes.holdout & ~episodes.comparison)
    everyone = gather(own, people_of(own), spec.privacy.episodes_per_person)
    return _rows(spec, layout, everyone, per_person, seed)


def require_generated(
    rows: Iterable[SyntheticProfile], release_id: str
) -> Iterator[SyntheticProfile]:
    """The same rows, each checked as it passes: what every way out of the boundary goes through.

    A row that was only relabelled as generated still lacks the release that made the others.

    Args:
        rows: what is to leave.
        release_id: the private release that all of them were drawn from.

    Raises:
        ShouldStayInside: at the first row that this release did not make.
    """
    for row in rows:
        if row.source is not ProfileSource.GENERATED or row.release_id in ("", INSIDE):
            raise ShouldStayInside(
                f"Profile {row.profile_id} of source {row.source.value} was made from real people's "
                "data.",
                "Export generated profiles; augmented and real ones serve inside alone.",
            )
        if row.release_id != release_id:
            raise ShouldStayInside(
                f"Profile {row.profile_id} is said to be of release {row.release_id}, and not of "
                f"{release_id}, which this file is drawn from.",
                "Export what was drawn from the release alone.",
            )
        yield row


def _rows(
    spec: LoopSpec, layout: EncodingLayout, everyone: PeopleEpisodes, per_person: int, seed: int
) -> Iterator[SyntheticProfile]:
    space = persona_space(spec, layout)
    for people in everyone.batches(_PEOPLE):
        vectors, _ = person_vectors(space, people)
        newest = people.episodes.context[people.rows[:, 0]]
        for index, traits in enumerate(traits_of(spec, layout, newest)):
            rows = people.rows[index][people.rows[index] >= 0]
            name = people.people[index]
            real = (tuple(float(x) for x in vectors[index]), traits)
            yield _row(name, "real", *real, _history(spec, people.episodes, rows))
            yield from _variations(spec, layout, space, people, index, per_person, seed)


def _variations(
    spec: LoopSpec,
    layout: EncodingLayout,
    space: PersonaSpace,
    people: PeopleEpisodes,
    index: int,
    count: int,
    seed: int,
) -> Iterator[SyntheticProfile]:
    name = people.people[index]
    rows = people.rows[index][people.rows[index] >= 0]
    rng = np.random.default_rng([seed, int(name[:15], 16)])
    mixed = mixtures(layout, people.episodes.context[rows], count, rng)
    vectors = space.of_contexts(mixed)
    for place, traits in enumerate(traits_of(spec, layout, mixed)):
        yield _row(name, f"{seed}/{place}", tuple(float(x) for x in vectors[place]), traits, ())


def mixtures(layout: EncodingLayout, own: Float32, count: int, rng: np.random.Generator) -> Float32:
    """(count, d) contexts between a person's own (e, d): no number leaves their range."""
    first, second = own[rng.integers(0, len(own), (2, count))]
    mixed = np.where(rng.random((count, 1)) < 0.5, first, second)
    low, high = own.min(axis=0), own.max(axis=0)
    flags = {block.field: block for block in layout.of_kind("missing")}
    for block in layout.of_kind("number", "vector", "history"):
        part = block.dimensions
        share = rng.random((count, 1))
        between = first[:, part] + share * (second[:, part] - first[:, part])
        jitter = JITTER * (high[part] - low[part]) * rng.normal(size=between.shape)
        value = np.clip(between + jitter, low[part], high[part])
        flag = flags.get(block.field)
        absent = np.zeros(count, dtype=np.bool_)
        if flag is not None:  # a field that either lacks is taken from one of them as it is
            absent = (first[:, flag.start] > 0.5) | (second[:, flag.start] > 0.5)
        mixed[:, part] = np.where(absent[:, None], mixed[:, part], value)
    return np.asarray(mixed, dtype=np.float32)


def _history(spec: LoopSpec, episodes: EncodedEpisodes, rows: Int) -> tuple[dict[str, Json], ...]:
    """The person's interactions, oldest first."""
    return tuple(
        {
            "action": spec.action_ids[int(episodes.action[row])],
            "reward": float(episodes.reward[row]) if np.isfinite(episodes.reward[row]) else None,
        }
        for row in rows[::-1]
    )


def _row(
    person: str,
    which: str,
    vector: tuple[float, ...],
    traits: dict[str, Json],
    history: tuple[dict[str, Json], ...],
) -> SyntheticProfile:
    source = ProfileSource.REAL if which == "real" else ProfileSource.AUGMENTED
    return SyntheticProfile(
        profile_id=inside_profile_id(person, which),
        persona_vector=vector,
        traits=traits,
        interaction_history=history,
        source=source,
        release_id=INSIDE,
    )
