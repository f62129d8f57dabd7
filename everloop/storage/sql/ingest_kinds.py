"""The five kinds of record that the service's door takes, and what is asked of each.

The order is that of their references: whatever a record may speak of is stored before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table

from everloop.contracts.errors import (
    EverloopError,
    ShouldFixEpisode,
    ShouldFixFeedback,
    ShouldFixInput,
    ShouldFixSignal,
)
from everloop.contracts.serving import Submission
from everloop.storage.payloads import NOT_PAYLOAD, payload_sha256
from everloop.storage.schema import reward_signals, training_episodes
from everloop.storage.service_tables import decisions, feedback, interactions
from everloop.storage.sql.decision_rows import decision_row
from everloop.storage.sql.event_rows import episode_row, signal_row
from everloop.storage.sql.feedback_rows import feedback_row, interaction_row

_JUDGED = NOT_PAYLOAD | {
    "interpretations",
    "weight",
    "confidence",
    "quality",
    "quality_reasons",
    "status",
    "agent_id",
    "task_type",
    "persona",
    "model_version",
    "received_at",
    "shown_at",
    "output_chars",
}
"""Fields of a feedback that the service adds: a replay may meet other history, or a newer rule."""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of record.

    Attributes:
        name: of the field of ``Submission``, of the counter and of the audit action.
        key: primary key within the tenant.
        parent: (column, table, its key) of what a record must speak of, unless the column is null.
        error: what a record that no database would keep as it is, is refused with.
    """

    name: str
    table: Table
    key: str
    to_row: Callable[[Any, int, datetime, bytes], dict[str, Any]]
    sha256: Callable[[Any], bytes]
    parent: tuple[str, Table, str] | None = None
    orphan: Callable[[Any], EverloopError] | None = None
    error: type[ShouldFixInput] = ShouldFixInput

    @property
    def counter(self) -> str:
        return self.name

    @property
    def action(self) -> str:
        """What the audit log calls storing them."""
        return f"{self.name}.append"

    def records(self, submission: Submission) -> Iterable[Any]:
        found: Iterable[Any] = getattr(submission, self.name)
        return found


def _orphan_signal(signal: Any) -> EverloopError:
    return ShouldFixSignal(
        f"Signal {signal.signal_id}: episode_id={signal.episode_id!r} is unknown.",
        "Log the episode first.",
    )


def _orphan_feedback(given: Any) -> EverloopError:
    return ShouldFixFeedback(
        f"Feedback {given.feedback_id}: log_id={given.log_id!r} is unknown.",
        "Log the interaction first.",
    )


EPISODES = Kind(
    "episodes",
    training_episodes,
    "episode_id",
    episode_row,
    payload_sha256,
    error=ShouldFixEpisode,
)
DECISIONS = Kind(
    "decisions",
    decisions,
    "decision_id",
    decision_row,
    lambda decision: bytes.fromhex(decision.request_sha256),
)
INTERACTIONS = Kind(
    "interactions",
    interactions,
    "log_id",
    interaction_row,
    payload_sha256,
    error=ShouldFixFeedback,
)
SIGNALS = Kind(
    "signals",
    reward_signals,
    "signal_id",
    signal_row,
    payload_sha256,
    ("episode_id", training_episodes, "episode_id"),
    _orphan_signal,
    ShouldFixSignal,
)
FEEDBACK = Kind(
    "feedback",
    feedback,
    "feedback_id",
    feedback_row,
    lambda given: payload_sha256(given, _JUDGED),
    ("log_id", interactions, "log_id"),
    _orphan_feedback,
    ShouldFixFeedback,
)
KINDS = (EPISODES, DECISIONS, INTERACTIONS, SIGNALS, FEEDBACK)
