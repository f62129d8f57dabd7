"""Private releases as the product makes them, but with noise that a seed repeats.

Budget, clipping, warm start and files are the product's own stages on a ledger of their own; only the
secret seed of the noise is replaced, so that a row can be measured again.

User model and profiles together lose epsilon = 1 at delta = 1e-5 for each person: 90 % of mu^2 goes to
the user model, 9 % to the profiles, and 1 % is left over (quality figures, which are not released here).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Reservation
from everloop.contracts.privacy import ReleaseRequest
from everloop.contracts.simulation import ProfileBatch
from everloop.privacy.ledger import Ledger
from everloop.storage.local.blobs import LocalBlobStore
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.ledger_store import SqlLedgerStore
from rl.encoders import layout
from synthetic.profiles import load_profiles
from synthetic.profiles.tonight import release_profiles
from synthetic.user_model import load_user_model, release_user_model
from synthetic.user_model.linear import LinearUserModel

SHARES: Final = {"user_model_share": 0.9, "profiles_share": 0.09, "quality_share": 0.01}
VECTORS: Final = 0.01
"""Policies do not read persona vectors."""
FIRST, LATER = date(2026, 2, 1), date(2026, 3, 1)
NEARLY_ALL: Final = 0.999
MIN_PEOPLE: Final = 50


def first_terms(loop: LoopSpec, people: int) -> LoopSpec:
    """The whole budget on the first fit; ``people`` is the public guess of how many take part."""
    return _terms(loop, people, period_days=365, first_fit_share=NEARLY_ALL)


def later_terms(loop: LoopSpec, people: int) -> LoopSpec:
    """The whole budget again on a later fit: whoever takes part in it did not in the first."""
    return _terms(loop, people, period_days=1, first_fit_share=1.0 - NEARLY_ALL)


def _terms(loop: LoopSpec, people: int, period_days: int, first_fit_share: float) -> LoopSpec:
    changed = {
        "people_expected": people,
        "min_people": MIN_PEOPLE,
        "period_days": period_days,
        "first_fit_share": first_fit_share,
        "vectors_share": VECTORS,
        **SHARES,
    }
    return loop.model_copy(update={"privacy": loop.privacy.model_copy(update=changed)})


class _Clock:
    def now(self) -> datetime:
        return datetime(2026, 4, 1, tzinfo=UTC)


class _SeededLedger(Ledger):
    """Its noise follows from a seed and the release: for measuring, never for people."""

    seed = 0

    def reserve(
        self, request: ReleaseRequest, people: Sequence[str], spec: LoopSpec, min_people: int
    ) -> Reservation:
        found = super().reserve(request, people, spec, min_people)
        told = f"{self.seed}/{request.stage}/{request.logical_date}"
        return replace(found, noise_seed=hashlib.sha256(told.encode()).digest())


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A user model and the people to play it with, both from releases within epsilon = 1.

    ``spec``: the terms that they were released under, the training's included.
    """

    spec: LoopSpec
    model: LinearUserModel
    profiles: ProfileBatch


class Releases:
    """Nights of one pipeline on a ledger in a folder that is gone at the end; one seed's noise."""

    def __init__(self, seed: int) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="bench-learning-")
        self._folder = Path(self._place.name)
        store = SqlLedgerStore(open_workspace_database(self._folder / "state.db"))
        self._ledger = _SeededLedger(store, bytes(32), _Clock())
        self._ledger.seed = seed
        self._blobs = LocalBlobStore(self._folder / "blobs")

    def __enter__(self) -> Releases:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._place.cleanup()

    def first(self, loop: LoopSpec, episodes: EncodedEpisodes) -> Fitted:
        """A first night."""
        spec = first_terms(loop, len(episodes.people))
        model = self._model(spec, episodes, FIRST, "home")
        return Fitted(spec, model, self._profiles(spec, episodes, FIRST, "home"))

    def later(self, loop: LoopSpec, episodes: EncodedEpisodes) -> Fitted:
        """A later night among other people: the user model goes on from the first night's, the
        profiles are these people's alone."""
        count = len(episodes.people)
        spec = first_terms(loop, count)
        model = self._model(later_terms(loop, count), episodes, LATER, "home")
        return Fitted(spec, model, self._profiles(spec, episodes, LATER, "there"))

    def _model(
        self, spec: LoopSpec, episodes: EncodedEpisodes, on: date, pipeline: str
    ) -> LinearUserModel:
        path, _ = release_user_model(
            spec,
            episodes,
            self._ledger,
            self._blobs,
            on,
            "d" * 64,
            f"bench/{pipeline}",
            self._folder / f"model-{on}",
            layout=layout(spec),
            known_until=datetime.fromtimestamp(float(episodes.timestamp.max()), UTC),
        )
        model = load_user_model(path, spec)
        if not isinstance(model, LinearUserModel):
            raise TypeError(f"The companion's user model is {type(model).__name__}, not linear.")
        return model

    def _profiles(
        self, spec: LoopSpec, episodes: EncodedEpisodes, on: date, pipeline: str
    ) -> ProfileBatch:
        path, _ = release_profiles(
            spec,
            layout(spec),
            episodes,
            self._ledger,
            self._blobs,
            on,
            "d" * 64,
            f"bench/{pipeline}",
            self._folder / f"profiles-{on}",
        )
        return load_profiles(path)
