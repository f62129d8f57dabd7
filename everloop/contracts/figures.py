"""Figures that stages hand to the run report: what was measured, with how much evidence.

Stages of one domain package may not import another's classes, so what the report shows of rewards,
training and synthetic quality travels as these records. NaN stands for "not measured", never for 0.
Evolution: fields are never removed or given another meaning; new ones are optional.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, Estimate, GroupValue
from everloop.contracts.privacy import ReleaseNote


def _require_share(owner: str, name: str, value: float) -> None:
    if value < 0.0 or value > 1.0:  # NaN passes: it means "not measured"
        raise ShouldFixArgument(f"{owner}: {name}={value} is outside [0, 1].", "Give a share.")


@dataclass(frozen=True, slots=True)
class SignalFigures:
    """One signal type over a dataset version.

    Attributes:
        name: the type's name in the loop specification.
        count: episodes that have a value of the type, silence that means 0 included.
        mean: mean over those episodes of the type's mean, in [-1, 1].
        share: ``count`` over all episodes, in [0, 1].
        observed: episodes for which at least one signal of the type arrived; ``None``: not counted.
    """

    name: str
    count: int
    mean: float
    share: float
    observed: int | None = None

    def __post_init__(self) -> None:
        _require_share(f"Signal {self.name}", "share", self.share)


@dataclass(frozen=True, slots=True)
class DailyFigure:
    """Rewarded episodes of one UTC day and their mean reward with its interval.

    ``mean``, ``low`` and ``high`` are in [-1, 1], NaN on a day without a rewarded episode.
    """

    date: datetime.date
    episodes: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RewardFigures:
    """What the rewards of a dataset version look like.

    Attributes:
        episodes: episodes in the version.
        rewarded: of these, episodes with a reward.
        mean: mean reward of the loop's own arms, in [-1, 1].
        positive_share: share of rewarded episodes whose reward is above 0.
        outcomes: success, neutral, failure -> episodes.
        by_signal: in the specification's order.
        daily: the loop's own arms, one entry per day of the window, oldest first.
        histogram_edges: k + 1 increasing rewards; bin i is [edge i, edge i+1), the last closed.
        histogram_counts: k counts of rewarded episodes.
        comparison: mean reward of the comparison arm; ``None`` where the log has none.
        anomalies: episodes flagged for extreme signal variance, ``anomaly_share`` of those that are
            rewarded or held.
        variance_limit: an episode is flagged when ``variance`` in the reward table is above this.
        anomaly_ids: flagged episodes, largest variance first; at most a hundred.
        outliers: episodes flagged for an action that was taken far more often than elsewhere.
        held: episodes whose reward is withheld, because a person hasn't released them; the other
            figures leave their evidence out, but for ``anomalies`` and ``anomaly_share``.
        rejected: of these, episodes that a person rejected.
        released: episodes that were flagged and that a person released.
    """

    episodes: int
    rewarded: int
    mean: Estimate
    positive_share: float
    outcomes: Mapping[str, int]
    by_signal: tuple[SignalFigures, ...]
    daily: tuple[DailyFigure, ...]
    histogram_edges: tuple[float, ...]
    histogram_counts: tuple[int, ...]
    comparison: Estimate | None = None
    anomalies: int = 0
    anomaly_share: float = 0.0
    variance_limit: float = math.inf
    anomaly_ids: tuple[str, ...] = ()
    outliers: int = 0
    held: int = 0
    rejected: int = 0
    released: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rewarded <= self.episodes:
            raise ShouldFixArgument(
                f"Reward figures: {self.rewarded} of {self.episodes} episodes cannot be rewarded."
            )
        if not 0 <= self.rejected <= self.held <= self.episodes - self.rewarded:
            raise ShouldFixArgument(
                f"Reward figures: {self.held} held episodes ({self.rejected} rejected) don't fit "
                f"{self.episodes} episodes of which {self.rewarded} are rewarded."
            )
        if self.histogram_counts and len(self.histogram_edges) != len(self.histogram_counts) + 1:
            raise ShouldFixArgument(
                f"Reward figures: {len(self.histogram_counts)} bins need "
                f"{len(self.histogram_counts) + 1} edges, not {len(self.histogram_edges)}."
            )
        if any(not low < high for low, high in pairwise(self.histogram_edges)):
            raise ShouldFixArgument("Reward figures: histogram edges do not increase.")
        _require_share("Reward figures", "positive_share", self.positive_share)
        _require_share("Reward figures", "anomaly_share", self.anomaly_share)


@dataclass(frozen=True, slots=True)
class TrainingPoint:
    """One iteration of policy training.

    Attributes:
        iteration: from 1.
        steps: environment steps sampled so far.
        reward: mean reward per decision in the simulator, in [-1, 1]; ``low``..``high`` its 95 %
            interval over journeys.
        kl: mean KL divergence of the new from the old policy, nats.
        clip_fraction: share of samples whose ratio was clipped.
        entropy: mean entropy of the policy, nats.
        epsilon: exploration in this iteration.
        learning_rate: of the last step of this iteration.
        value_loss: mean squared error of the value head.
        steps_per_second: sampling and learning together.
    """

    iteration: int
    steps: int
    reward: float
    low: float
    high: float
    kl: float
    clip_fraction: float
    entropy: float
    epsilon: float
    learning_rate: float
    value_loss: float
    steps_per_second: float


@dataclass(frozen=True, slots=True)
class TrainingFigures:
    """How policy training went. ``parameters`` counts the policy's own weights."""

    curve: tuple[TrainingPoint, ...]
    steps: int
    weights_sha256: str
    first_reward: float
    last_reward: float
    seed: int
    parameters: int

    def __post_init__(self) -> None:
        if any(not a.iteration < b.iteration for a, b in pairwise(self.curve)):
            raise ShouldFixArgument("Training figures: iterations do not increase.")


@dataclass(frozen=True, slots=True)
class QualityFigures:
    """How close synthetic people and journeys come to real ones.

    ``inside_boundary``: computed from the raw log, so it stays with operators and is not released.

    Attributes:
        groups: the same by protected group; the estimate's name says what was measured.
        published: figures of a private release, which alone may be shown outside the boundary; their
            intervals are of the release's noise.
        release: the release that paid for them; ``None`` where there is none yet.
        refusal: why nothing could be published, "" otherwise; it counts people, so it stays inside.
    """

    estimates: tuple[Estimate, ...]
    checks: tuple[Check, ...]
    inside_boundary: bool = True
    groups: tuple[GroupValue, ...] = ()
    published: tuple[Estimate, ...] = ()
    release: ReleaseNote | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class HeadModel:
    """One exported head of the user model, a model of its own.

    Attributes:
        model_type: "pairing" or "emotion".
        file: its name within the artifact's folder; ``sha256`` its checksum.
        version: ``<loop>-<model type>-<first 16 digits of the weights' SHA-256>``.
        error: largest difference of the exported form to the user model on 1,000 random states.
        figures: measured on held-out people; they stay inside the trust boundary.
    """

    model_type: str
    file: str
    sha256: str
    version: str
    error: float
    figures: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class HeadFigures:
    """The night's pairing and emotion models; ``left_out`` says why one is missing."""

    models: tuple[HeadModel, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpendingDay:
    """Privacy spent up to a day, within the period that ends with it.

    Attributes:
        date: the day.
        epsilon: of a person who took part in every release so far.
        every_night: of a person in a pipeline that takes the whole period's epsilon every night, as
            many nights as have passed since the first release.
    """

    date: datetime.date
    epsilon: float
    every_night: float


@dataclass(frozen=True, slots=True)
class SuccessFigure:
    """One success metric of the specification and where it stands.

    Attributes:
        name, baseline, target, unit: as the specification states them.
        current: the measured value; ``None`` where this data cannot measure it.
        note: how it was measured, or why it was not.
        lower_is_better: whether the target lies below what is measured when all is well.
    """

    name: str
    baseline: float
    target: float
    unit: str
    current: Estimate | None
    note: str
    lower_is_better: bool = False

    def __post_init__(self) -> None:
        if self.current is None and not self.note:
            raise ShouldFixArgument(
                f"Success metric {self.name} has no current value and no reason.",
                "Say why this data cannot measure it.",
            )
