"""The loop's own days: people live with what serves, the trial is watched, the night learns and tries."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.loop.served import Served, Service
from bench.loop.terms import LoopTerms, end_of
from components._deployment import begin_trial
from components._trial import act_on, measure
from everloop import settings
from everloop.contracts.documents import read, write_atomically
from everloop.contracts.episodes import Arm, Episode
from everloop.contracts.errors import EverloopError
from everloop.contracts.evaluation import Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import RolloutRecord, TrialVerdict
from everloop.loops.sections import split
from everloop.rollout.control import act
from everloop.sdk.demo.deciders import FIRST
from everloop.sdk.demo.door import TENANT, open_door
from everloop.sdk.demo.night import Night, Output, learn, run_step
from everloop.sdk.demo.records import InFlight, episodes_of
from everloop.wiring import Workspace, open_workspace
from pipelines.local_run import StageEvent
from pipelines.source import code_sha256
from synthetic.population import DayOfDecisions, Population

ACTOR: Final = "bench-loop"
_Z: Final = 1.959963984540054
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Worth:
    """What a day's decisions are truly worth: mean expected reward over n of them, one a person, with its
    95 % interval."""

    value: float
    low: float
    high: float
    n: int


def worth_of(played: DayOfDecisions) -> Worth:
    """Of what decided on a day, exploration included, over people's states."""
    made, people = played.decisions, played.of_people
    each = (made.propensities * made.expected_reward).sum(axis=1)[people]
    half = _Z * float(each.std(ddof=1) / np.sqrt(len(each)))
    mean = float(each.mean())
    return Worth(mean, mean - half, mean + half, len(each))


def new_workspace(home: Path, seed: int) -> Workspace:
    """A workspace whose pseudonyms, and with them holdouts and arms, follow from a seed; other keys are
    random."""
    home.mkdir(parents=True)
    keys = {name: secrets.token_hex(settings.MIN_KEY_BYTES) for name in settings.KEYS}
    keys[settings.PSEUDONYM_KEY] = f"{seed:064x}"
    told = "".join(f"{name}={key}\n" for name, key in keys.items())
    write_atomically(told.encode(), home / settings.SECRETS_FILE)
    settings.initialise(home)
    return open_workspace(home)


def arguments_of(spec: LoopSpec, home: Path, on: date) -> dict[str, str]:
    """The daily graph's parameters."""
    return asdict(split(spec)) | {
        "workspace": str(home),
        "logical_date": on.isoformat(),
        "code": code_sha256(),
        "tenant": TENANT,
        "refresh": "",
        "oversight": "",
    }


@dataclass(eq=False)
class Life:
    """The loop, its people and what is on its way.

    Attributes:
        terms: of the run. place: the workspace. population: the people. spec: the loop as it is now.
        days: served so far. told: a row a day.
    """

    terms: LoopTerms
    place: Workspace
    population: Population
    spec: LoopSpec
    days: list[Served] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    in_flight: InFlight = field(default_factory=InFlight)

    @classmethod
    def begin(cls, terms: LoopTerms, home: Path) -> Life:
        place = new_workspace(home, terms.seed)
        return cls(terms, place, terms.population(), terms.spec)

    @property
    def finished(self) -> int:
        return len(self.days)

    def look(self, now: datetime) -> TrialVerdict | None:
        """The controller's look at the candidate's health alone."""
        return act(self.spec, self.place, now, None, ACTOR, TENANT)

    def serve(self) -> Served:
        """The next day: people come, are decided for, and what they answered is stored."""
        on = self.terms.date_of(self.finished + 1)
        service = Service(self.place, self.spec, self.look)
        service.episodes = sum(len(day.played) for day in self.days)
        served = service.serve(self.population, on)
        self.days.append(served)
        self.in_flight.send(served.played)
        with open_door(self.place, self.spec) as door:
            episodes = (
                _as_served(episode, str(version), str(arm))
                for episode, version, arm in zip(
                    episodes_of(served.played, FIRST, door), served.version, served.arm, strict=True
                )
            )
            door.store(episodes, self.in_flight.come_in(on))
        return served

    def watch(self) -> TrialVerdict | None:
        """What people's answers of the trial say at the end of the day, and what the controller does."""
        if self.trial is None:
            return None
        on = self.days[-1].played.date
        folder, arguments = self.place.home / "watch", arguments_of(self.spec, self.place.home, on)
        shutil.rmtree(folder, ignore_errors=True)
        watch = Night(folder)
        measuring = arguments | {"measuring": True}
        for step in ("extract_episodes", "aggregate_rewards"):
            run_step(step, measuring, watch, lambda _: None)
        dataset, rewards, episodes = (watch.outputs[n] for n in ("dataset", "rewards", "episodes"))
        measured, now = folder / "measured", end_of(on)
        measure(self.spec, self.place, TENANT, (dataset, rewards, episodes), now, measured)
        known = (dataset, rewards, episodes, Output(str(measured)))
        return act_on(self.spec, self.place, TENANT, on.isoformat(), known, now).verdict

    def night(self, tell: Tell) -> Night:
        """The daily graph's own steps for the day, and the start of the candidate's trial. A step that
        fails ends the night: what serves goes on serving."""
        on = self.days[-1].played.date

        def on_event(event: StageEvent) -> None:
            tell(f"night {self.finished} · {event.stage} {event.text}")

        try:
            night = learn(arguments_of(self.spec, self.place.home, on), self.folder, on_event)
        except EverloopError as problem:
            return Night(self.folder, ended_at="failed", reason=str(problem))
        if not night.ended_at:
            self.start(night)
        return night

    def start(self, night: Night) -> RolloutRecord:
        """Act on the gate's verdict with the day's end as now."""
        on = self.days[-1].played.date
        parts = tuple(night.outputs[name] for name in ("evaluation", "verdict", "checkpoint"))
        return begin_trial(self.spec, self.place, parts, f"{self.spec.name} {on}", end_of(on))

    @property
    def folder(self) -> Path:
        return self.place.home / "night"

    @property
    def trial(self) -> RolloutRecord | None:
        return self.place.deployments.head(self.spec.name, TENANT).trial

    def live(self, tell: Tell) -> Night:
        """One whole day, its row told, and its night."""
        tell(f"day {self.finished + 1} · people come")
        events = len(self._events())
        served = self.serve()
        watched = self.watch()
        night = self.night(tell)
        self.told.append(
            {
                "day": self.finished,
                **asdict(worth_of(served.played)),
                "people": self.population.present,
                "by": shares_of(served),
                "met": met_candidate(served),
                "watch": "" if watched is None else f"{watched.decision}: {watched.reasons[0]}",
                "gate": verdict_of(night),
                "events": [f"{e.kind}: {e.reason}" for e in self._events()[events:]],
            }
        )
        return night

    def _events(self) -> Sequence[Any]:
        return self.place.deployments.events(self.spec.name, 0, 1000, TENANT)

    def tidy(self) -> None:
        """Remove what a finished night no longer needs."""
        shutil.rmtree(self.place.home / "datasets", ignore_errors=True)


def verdict_of(night: Night) -> str:
    """The gate's answer in words, or what ended the night before it."""
    if night.ended_at:
        return f"{night.ended_at}: {night.reason}"
    verdict = read(Verdict, night.path("verdict"))
    return f"{verdict.decision}: {verdict.reasons[0]}"


def shares_of(served: Served) -> Mapping[str, float]:
    """Version -> share of the day's decisions."""
    names, counts = np.unique(served.version, return_counts=True)
    return {str(n): float(c) / len(served.version) for n, c in zip(names, counts, strict=True)}


def met_candidate(served: Served) -> int:
    """How many people a candidate decided for."""
    met = (served.arm == Arm.CANDIDATE.value) & ~served.fallback
    return int(met.sum())


def _as_served(episode: Episode, version: str, arm: str) -> Episode:
    return replace(episode, model_version=version, arm=Arm(arm))
