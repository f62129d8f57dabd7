"""Synthetic people with their journeys, chunk by chunk: any chunk can be made alone, and again.

A chunk's people and journeys depend on the parameters and its number only, so that a job that was killed
goes on where it was and ends in the same bytes. Everything is post-processing of two private releases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import EncodingLayout
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import SyntheticProfile
from everloop.contracts.simulation import UserModel
from everloop.contracts.synthetic_jobs import GenerateParameters
from synthetic.journeys import roll_out
from synthetic.journeys.clock import Arrivals
from synthetic.journeys.rows import histories
from synthetic.profiles import draw_profiles, to_rows
from synthetic.profiles.statistics import ProfileStatistics

CHUNK = 2_000
"""Profiles of a chunk, at most."""
_CHUNK_DECISIONS = 400_000
"""Decisions that a chunk may expect: long journeys come in smaller chunks, so that memory is bounded."""


@dataclass(frozen=True, slots=True)
class ExportedProfile:
    """A row of an export: the profile, and whether it was made as an edge case."""

    profile: SyntheticProfile
    edge: bool


@dataclass(frozen=True, slots=True)
class Generation:
    """One request for people over two private releases."""

    spec: LoopSpec
    layout: EncodingLayout
    statistics: ProfileStatistics
    model: UserModel
    parameters: GenerateParameters

    @property
    def chunk_size(self) -> int:
        """Profiles of every chunk but the last; from public parameters alone."""
        expected = Arrivals.of(self.spec.journeys).expected(self.parameters.days)
        return max(1, min(CHUNK, int(_CHUNK_DECISIONS / expected)))

    @property
    def chunks(self) -> int:
        """How many there are."""
        return math.ceil(self.parameters.n / self.chunk_size)

    def size_of(self, chunk: int) -> int:
        """Profiles of a chunk."""
        return min(self.chunk_size, self.parameters.n - chunk * self.chunk_size)

    def make(self, chunk: int) -> Iterator[ExportedProfile]:
        """The people of a chunk, 0 <= chunk < ``chunks``, each with their journey.

        Raises:
            ShouldFixArgument: journeys are too long (see ``synthetic.journeys.rollout.roll_out``).
            ShouldRestoreArtefact: a release is damaged.
        """
        asked = self.parameters
        people, journeys = np.random.SeedSequence([asked.seed, chunk]).generate_state(2, np.uint32)
        profiles = draw_profiles(
            self.spec,
            self.layout,
            self.statistics,
            count=self.size_of(chunk),
            seed=int(people),
            variance=asked.variance,
            edge_share=asked.edge_share,
        )
        made = roll_out(
            self.spec,
            self.layout,
            self.model,
            profiles,
            asked.days,
            int(journeys),
            start=asked.start,
        )
        edge = np.zeros(len(profiles), dtype=np.bool_) if profiles.edge is None else profiles.edge
        place = f"{self.model.release_id}/{asked.seed}/{chunk}"
        rows = to_rows(profiles, self.layout, self.spec, histories(made, self.spec), place)
        for index, row in enumerate(rows):
            yield ExportedProfile(row, bool(edge[index]))
