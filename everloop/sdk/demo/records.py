"""A played day as what the product logs: episodes at once, signals as they come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from everloop.contracts.episodes import Episode, RewardSignal
from everloop.sdk.demo.door import TENANT, Door
from synthetic.population import DayOfDecisions


def episodes_of(played: DayOfDecisions, decided_by: str, door: Door) -> Iterator[Episode]:
    """The day's decisions as episodes under pseudonyms, with the propensities that decided."""
    made, actions = played.decisions, played.responses.domain.actions
    for row, context in enumerate(made.contexts.snapshots(actions)):
        yield Episode(
            episode_id=played.decision_ids[row],
            user_id=door.person(played.user_ids[row]),
            loop=door.spec.name,
            context_snapshot=context,
            action_taken=actions[made.action[row]],
            timestamp=datetime.fromtimestamp(int(made.timestamp[row]), UTC),
            model_version=decided_by,
            propensity=min(1.0, float(made.propensity[row])),
            valid_actions=played.valid_actions(row),
            action_arguments=door.workspace.pseudonyms.in_arguments(
                played.action_arguments(row), TENANT
            ),
            tenant=TENANT,
        )


@dataclass
class InFlight:
    """Signals that were sent and have not come in yet, as (when, signal)."""

    waiting: list[tuple[int, RewardSignal]] = field(default_factory=list)

    def send(self, played: DayOfDecisions) -> None:
        """Send a day's signals; each comes in ``latency`` seconds after its decision."""
        decided = dict(zip(played.decision_ids, played.decisions.timestamp.tolist(), strict=True))
        for told in played.signals():
            signal = RewardSignal(
                signal_id=told["signal_id"],
                episode_id=told["decision_id"],
                signal_type=told["signal_type"],
                value=told["value"],
                latency=told["latency"],
                confidence=told["confidence"],
                tenant=TENANT,
            )
            self.waiting.append((decided[signal.episode_id] + signal.latency, signal))

    def come_in(self, by: date) -> Iterable[RewardSignal]:
        """What comes in by the end of a day (UTC); the rest stays on its way."""
        end = datetime(by.year, by.month, by.day, tzinfo=UTC) + timedelta(days=1)
        arrived = [signal for moment, signal in self.waiting if moment <= end.timestamp()]
        self.waiting = [(m, s) for m, s in self.waiting if m > end.timestamp()]
        return arrived
