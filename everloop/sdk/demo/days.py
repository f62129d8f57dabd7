"""Days of a tour, one after another: people live with what serves, then the night learns from them.

Everything but privacy noise follows from the terms, so a tour that was stopped is played anew up to its
last finished day, in memory and without learning, and goes on from there: records that are stored
already are replays, and releases that were paid for are kept by the ledger.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from everloop.contracts.demo import DemoDay, DemoTour
from everloop.contracts.documents import read
from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.evaluation import Decision, Verdict
from everloop.loops.sections import split
from everloop.sdk.demo.accuracy import Accuracy
from everloop.sdk.demo.deciders import FIRST, Decider, Deciders
from everloop.sdk.demo.door import TENANT, open_door
from everloop.sdk.demo.journal import Journal, open_journal
from everloop.sdk.demo.night import Night, learn
from everloop.sdk.demo.plan import DemoPlan
from everloop.sdk.demo.records import InFlight, episodes_of
from everloop.sdk.demo.spending import spending
from everloop.sdk.demo.worth import Worth
from pipelines.local_run import StageEvent
from pipelines.source import code_sha256
from rl.policy_card import PolicyCard
from synthetic.population import DayOfDecisions, Population

Tell = Callable[[str], None]
"""Told in a few words what goes on."""

NO_CANDIDATE = "no candidate"


def _silent(_: str) -> None:
    """Tell nothing."""


def play(plan: DemoPlan, home: Path | str | None = None, tell: Tell = _silent) -> Iterator[DemoDay]:
    """Play a tour's days, or what is left of them; yields every day, finished ones first.

    Args:
        plan: the tour's terms.
        home: its workspace; by default a folder of its own beside the environment's.
        tell: told what goes on.

    Raises:
        ShouldFixArgument: the folder cannot be used for this tour.
        ShouldResolveConflict: another process plays it, or its days were played by other code.
    """
    with open_journal(plan, home) as journal:
        life = _Life(plan, journal, tell)
        for day in journal.days()[: plan.days]:
            life.again(day)
            yield day
        while life.finished < plan.days:
            yield life.live()


def tour_of(plan: DemoPlan, home: Path | str | None = None) -> DemoTour:
    """The finished days of a tour, as one record."""
    with open_journal(plan, home) as journal:
        privacy = plan.spec.privacy
        return DemoTour(
            loop=plan.spec.name,
            people=plan.people,
            seed=plan.seed,
            epsilon=privacy.epsilon,
            delta=privacy.delta,
            period_days=privacy.period_days,
            settings=plan.overrides,
            days=journal.days()[: plan.days],
        )


@dataclass
class _Stopwatch:
    """Seconds by step of a day."""

    seconds: dict[str, float]
    started: float

    def lap(self, *steps: str) -> None:
        """Count the time since the last lap under a name; under none, forget it."""
        now = time.perf_counter()
        self.seconds |= dict.fromkeys(steps, now - self.started)
        self.started = now


class _Life:
    """The people, what decides over them, and what is on its way."""

    def __init__(self, plan: DemoPlan, journal: Journal, tell: Tell) -> None:
        self._plan, self._journal, self._tell = plan, journal, tell
        self._spec, self._workspace = plan.spec, journal.workspace
        self._people = Population(plan.spec, plan.people, plan.seed)
        self._deciders = Deciders(journal.workspace, plan.spec)
        self._in_flight = InFlight()
        self._serves, self._episodes, self.finished = FIRST, 0, 0
        self._worth, self._accuracy = Worth(plan), Accuracy(plan.spec)

    def again(self, day: DemoDay) -> None:
        """Live through a finished day without storing or learning anything."""
        decider = self._decider()
        played = self._played(decider)
        self._in_flight.come_in(played.date)
        if (decider.version, len(played), played.arrived, played.left) != (
            day.decided_by,
            day.decisions,
            day.arrived,
            day.left,
        ):
            raise ShouldResolveConflict(
                f"Day {day.number} of this tour was another one: {day.decisions} decisions by "
                f"{day.decided_by}, not {len(played)} by {decider.version}.",
                "Other code played it: start a new tour in another --home.",
            )
        self._serves = day.serves_next

    def live(self) -> DemoDay:
        """Live one day, learn from it, and write it down."""
        number = self.finished + 1
        watch = _Stopwatch({}, time.perf_counter())
        self._tell(f"day {number}/{self._plan.days} · people come")
        self._deciders.deploy(self._serves)
        decider = self._decider()
        played = self._played(decider)
        with open_door(self._workspace, self._spec) as door:
            door.store(
                episodes_of(played, decider.version, door), self._in_flight.come_in(played.date)
            )
        watch.lap("people and ingest")
        night = self._learn(number)
        watch.lap()  # its steps count their own
        verdict, reason = self._verdict(night)
        if verdict == Decision.CONTINUE.value:
            self._serves = read(PolicyCard, night.path("chosen") / "policy.json").version
        day = self._told(number, decider, played, night, verdict, reason, watch)
        self._journal.finish(day)
        self._journal.tidy()
        self._deciders.deploy(self._serves)
        return day

    def _decider(self) -> Decider:
        return self._deciders.of(self._serves, self._episodes)

    def _played(self, decider: Decider) -> DayOfDecisions:
        played = self._people.day(self._plan.date_of(self.finished + 1), decider.policy)
        self._in_flight.send(played)
        self._episodes += len(played)
        self.finished += 1
        return played

    def _learn(self, number: int) -> Night:
        arguments = asdict(split(self._spec)) | {
            "workspace": str(self._workspace.home),
            "logical_date": self._plan.date_of(number).isoformat(),
            "code": code_sha256(),
            "tenant": TENANT,
            "refresh": "",
            "oversight": "",
        }

        def on_event(event: StageEvent) -> None:
            said = f" · {event.text}" if event.kind == "progress" else ""
            self._tell(f"night {number}/{self._plan.days} · {event.stage}{said}")

        night = learn(arguments, self._journal.night, on_event)
        report = self._workspace.home / "reports" / f"day-{number:04d}.html"
        report.parent.mkdir(exist_ok=True)
        shutil.copyfile(night.path("report.page"), report)
        return night

    @staticmethod
    def _verdict(night: Night) -> tuple[str, str]:
        if night.ended_at:
            return NO_CANDIDATE, f"{night.ended_at}: {night.reason}"
        verdict = read(Verdict, night.path("verdict"))
        return verdict.decision.value, verdict.reasons[0]

    def _told(
        self,
        number: int,
        decider: Decider,
        played: DayOfDecisions,
        night: Night,
        verdict: str,
        reason: str,
        watch: _Stopwatch,
    ) -> DemoDay:
        private, reference = self._accuracy.of(night)
        watch.lap("accuracy without privacy")
        value = self._worth.of(decider)
        watch.lap("true values")
        spent = spending(
            self._workspace.ledger, self._spec, f"{self._spec.name}/{TENANT}", played.date
        )
        return DemoDay(
            number=number,
            date=played.date,
            people=self._people.present,
            arrived=played.arrived,
            left=played.left,
            decisions=len(played),
            decided_by=decider.version,
            exploration=decider.exploration,
            value=value,
            best=self._worth.best,
            first=self._worth.first,
            auc_private=private,
            auc_reference=reference,
            epsilon_tonight=spent.tonight,
            epsilon_period=spent.period,
            epsilon_since_first_seen=spent.since_first_seen,
            epsilon_every_night=spent.every_night,
            verdict=verdict,
            reason=reason,
            serves_next=self._serves,
            seconds=watch.seconds | night.seconds,
        )
