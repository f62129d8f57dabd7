"""Immutable inputs of learning: dataset versions, reward tables and their encoded form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.errors import ShouldFixArgument

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

EPISODES_FILE = "episodes.parquet"
"""episode_id, person (pseudonym), timestamp (us, UTC), action, propensity (null: not logged),
valid_actions (list<string>), context (JSON text), action_arguments (JSON text), model_version, arm,
closed (bool: the feedback window had passed at the cut-off). Ordered by (timestamp, episode_id)."""
SIGNALS_FILE = "signals.parquet"
"""signal_id, episode_id, signal_type, value, latency (s), confidence. Ordered by signal_id."""
REVIEWS_FILE = "reviews.parquet"
"""episode_id, kind, state: what people had said of flagged episodes of the version at the pinned revision
(``ReviewKind``, ``ReviewState``). Ordered by (episode_id, kind); only where an episode was flagged."""
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a dataset version."""

    name: str
    sha256: str
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Exclusions:
    """What extraction left out, and why."""

    opted_out_people: int = 0
    opted_out_episodes: int = 0
    disputed_signals: int = 0
    late_signals: int = 0
    """Signals that arrived after the cut-off or after their episode had closed."""
    open_episodes: int = 0
    """Episodes whose feedback window had not passed at the cut-off."""


@dataclass(frozen=True, slots=True)
class DatasetManifest:
    """What a dataset version holds and what it was made from.

    ``dataset_id`` is the SHA-256 of the files' checksums: equal inputs give an equal id.
    ``episode_watermark``/``signal_watermark``: the largest ingest sequence numbers read.
    ``review_revision``: the newest change of a review that counts.
    """

    dataset_id: str
    loop: str
    tenant: str
    logical_date: date
    window_days: int
    episode_watermark: int
    signal_watermark: int
    consent_revision: int
    spec_sha256: str
    files: tuple[FileEntry, ...]
    exclusions: Exclusions
    episodes_per_day: Mapping[str, int] = field(default_factory=dict)
    """ISO date -> episodes that consenting people's decisions logged, open ones included, over the
    window, empty days included."""
    cutoff: datetime | None = None
    """When the date was cut off because it had not ended; ``None``: at its end."""
    schema_version: int = 1
    review_revision: int = 0

    @property
    def known_until(self) -> datetime:
        """What was not known by then (UTC) is left out."""
        end = datetime.combine(self.logical_date, time(), tzinfo=UTC) + timedelta(days=1)
        return self.cutoff or end

    @property
    def episodes(self) -> int:
        return next(f.rows for f in self.files if f.name == EPISODES_FILE)

    @property
    def signals(self) -> int:
        return next(f.rows for f in self.files if f.name == SIGNALS_FILE)

    @property
    def reviews(self) -> int:
        """Reviews of the version's episodes, whatever their state."""
        return sum(f.rows for f in self.files if f.name == REVIEWS_FILE)


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """A dataset version on disk: a folder with the files named above, never changed."""

    root: Path
    manifest: DatasetManifest

    @property
    def episodes_path(self) -> Path:
        return self.root / EPISODES_FILE

    @property
    def signals_path(self) -> Path:
        return self.root / SIGNALS_FILE

    @property
    def reviews_path(self) -> Path | None:
        """Where the reviews are; ``None`` where no episode of the version had been flagged."""
        return self.root / REVIEWS_FILE if self.manifest.reviews else None


BLOCK_KINDS = ("number", "vector", "category", "cycle", "history", "missing")
"""What a run of encoded dimensions holds. ``category``: a one-hot block of zeros and one 1 (all zeros
where the value is missing); ``cycle``: sine and cosine; ``missing``: 1 where the field of the block
before it is absent, else 0; the others: numbers within [-1, 1]."""


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    """Dimensions ``start .. start + width - 1`` of an encoded context, made from one field."""

    field: str
    kind: str
    start: int
    width: int

    def __post_init__(self) -> None:
        if self.kind not in BLOCK_KINDS:
            raise ShouldFixArgument(
                f"Encoded block {self.field!r}: kind={self.kind!r} is none of {', '.join(BLOCK_KINDS)}."
            )

    @property
    def dimensions(self) -> slice:
        return slice(self.start, self.start + self.width)


@dataclass(frozen=True, slots=True)
class EncodingLayout:
    """Which dimensions of an encoded context hold what; public, it follows from the loop alone.

    ``blocks`` cover 0..width-1 in order, without gaps or overlaps.
    """

    encoder: str
    width: int
    blocks: tuple[EncodedBlock, ...]

    def __post_init__(self) -> None:
        position = 0
        for block in self.blocks:
            if block.start != position or block.width < 1:
                raise ShouldFixArgument(
                    f"Encoding layout {self.encoder}: block {block.field!r} starts at "
                    f"{block.start} with width {block.width}; expected start {position}, width >= 1."
                )
            position += block.width
        if position != self.width:
            raise ShouldFixArgument(
                f"Encoding layout {self.encoder}: blocks cover {position} of {self.width} dimensions."
            )

    def of_kind(self, *kinds: str) -> tuple[EncodedBlock, ...]:
        """The blocks of the given kinds, in order."""
        return tuple(block for block in self.blocks if block.kind in kinds)


@dataclass(frozen=True, slots=True)
class EncodedEpisodes:
    """Episodes as arrays, in dataset order; n rows, A actions, S signal types, d context dimensions.

    Attributes:
        episode_id: (n,) strings.
        person: (n,) index into the sorted distinct people, 0..P-1.
        people: (P,) pseudonyms, sorted.
        context: (n, d) float32, encoded from public bounds; every value within [-1, 1].
        interacting: (d,) which context dimensions may interact with actions.
        action: (n,) index into the loop's catalogue.
        mask: (n, A) which actions were valid.
        propensity: (n,) in (0, 1], NaN where it was not logged.
        reward: (n,) in [-1, 1], NaN where no evidence was present.
        signals: (n, S) mean of each signal type in [-1, 1], NaN where absent.
        holdout: (n,) True where the person's episodes are kept for evaluation.
        comparison: (n,) True where a policy outside the loop decided.
        timestamp: (n,) seconds since the epoch, UTC.
        encoder: version of the encoder, part of every model that reads ``context``.
        slate: (n, Z) float32, mean descriptors of the people whom a pairing suggested, 0 for other
            actions and where they were not logged; ``None`` where the loop describes no candidates.
    """

    episode_id: NDArray[np.str_]
    person: Int
    people: NDArray[np.str_]
    context: Float32
    interacting: Bool
    action: Int
    mask: Bool
    propensity: Float
    reward: Float
    signals: Float
    holdout: Bool
    comparison: Bool
    timestamp: Float
    encoder: str
    slate: Float32 | None = None

    def __post_init__(self) -> None:
        n = len(self.episode_id)
        for name in (
            "person",
            "context",
            "action",
            "mask",
            "propensity",
            "reward",
            "signals",
            "holdout",
            "comparison",
            "timestamp",
        ):
            rows = len(getattr(self, name))
            if rows != n:
                raise ShouldFixArgument(f"EncodedEpisodes.{name} has {rows} rows, not {n}.")
        if self.slate is not None and (
            len(self.slate) != n or not (np.abs(self.slate) <= 1.0).all()
        ):
            raise ShouldFixArgument(
                f"EncodedEpisodes.slate of shape {self.slate.shape} is not ({n}, Z) within [-1, 1]."
            )
        if not np.isfinite(self.context).all():
            raise ShouldFixArgument("EncodedEpisodes.context holds NaN or infinity.")
        if n and not self.mask[np.arange(n), self.action].all():
            raise ShouldFixArgument("EncodedEpisodes.mask excludes an action that was taken.")

    def __len__(self) -> int:
        return len(self.episode_id)

    def where(self, rows: Bool | Int) -> EncodedEpisodes:
        """The selected rows, by a mask (n,) or by their places; ``people`` stays whole so that indices
        keep their meaning."""
        return EncodedEpisodes(
            episode_id=self.episode_id[rows],
            person=self.person[rows],
            people=self.people,
            context=self.context[rows],
            interacting=self.interacting,
            action=self.action[rows],
            mask=self.mask[rows],
            propensity=self.propensity[rows],
            reward=self.reward[rows],
            signals=self.signals[rows],
            holdout=self.holdout[rows],
            comparison=self.comparison[rows],
            timestamp=self.timestamp[rows],
            encoder=self.encoder,
            slate=None if self.slate is None else self.slate[rows],
        )

    @property
    def training(self) -> EncodedEpisodes:
        """What models may learn from: rewarded episodes of the loop's own policies, no holdout."""
        return self.where(~self.holdout & ~self.comparison & np.isfinite(self.reward))

    @property
    def evaluation(self) -> EncodedEpisodes:
        """What candidates are judged on: rewarded holdout episodes that logged a propensity."""
        return self.where(
            self.holdout
            & ~self.comparison
            & np.isfinite(self.reward)
            & np.isfinite(self.propensity)
        )
