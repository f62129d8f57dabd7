"""Each planted candidate before the gate, and before people if the gate lets it through.

The run goes on from the evening on which the candidate was put to the gate: the same people, the same log,
the same model serving. Whatever was on trial then is ended first, so that the planted one need not wait.
Each is tried once more past the gate, which asks of the night's data and releases too, to see what would
have stopped it then.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.loop.fork import go_on
from bench.loop.life import Life, arguments_of, met_candidate
from bench.loop.linear import write_policy
from bench.loop.planted import Planted, edge_after
from bench.loop.terms import LoopTerms
from components._alternatives import NOTES, LearnedNote
from everloop.contracts.documents import read, write
from everloop.contracts.episodes import Arm
from everloop.contracts.errors import EverloopError
from everloop.contracts.evaluation import (
    Check,
    CheckStatus,
    Decision,
    Verdict,
)
from everloop.contracts.rollouts import OVER, RolloutRecord
from everloop.sdk.demo.door import TENANT
from everloop.sdk.demo.night import Night, Output, run_step
from synthetic.population import Misbehaviour, Turn

JUDGED: Final = ("evaluate_policy", "explain", "gate")
BY_GATE, ROLLED_BACK = "gate", "rolled back"
_ENDED = "made room for a planted candidate"


@dataclass(slots=True)
class Fate:
    """What became of a planted candidate.

    Attributes:
        stopped_by: ``gate``, ``rolled back``, ``evaluation`` (it could not be judged), or what else its
            trial came to. checks: the checks that stopped it. reason: the first one's words.
        people: distinct people who met it. decisions: that it made for them. days: of its trial.
        lost: reward a decision that its people were truly worth less than the others', on its days.
    """

    stopped_by: str = ""
    checks: tuple[str, ...] = ()
    reason: str = ""
    people: int = 0
    decisions: int = 0
    days: int = 0
    lost: float = 0.0

    @property
    def stopped(self) -> bool:
        return self.stopped_by in (BY_GATE, ROLLED_BACK, "evaluation")


def put_on_trial(
    planted: Planted, terms: LoopTerms, kept: Path, home: Path, past_the_gate: bool = False
) -> dict[str, Any]:
    """The row of a planted candidate."""
    life, night = go_on(terms, kept, home)
    try:
        fate = _fate(planted, life, night, past_the_gate)
    finally:
        life.place.engine.dispose()
        shutil.rmtree(home, ignore_errors=True)
    return {
        "planted": planted.name,
        "why": planted.why,
        "past_the_gate": past_the_gate,
        **asdict(fate),
        "stopped": fate.stopped,
    }


def _fate(planted: Planted, life: Life, night: Night, past_the_gate: bool) -> Fate:
    _make_room(life)
    on = life.days[-1].played.date
    edge = edge_after(life.spec, on.isocalendar().week)
    folder = life.place.home / "planted"
    write_policy(planted.make(life.spec, edge), life.spec, night.path("policy"), folder)
    judged, problem = _judged(life, night, folder)
    verdict = _allowed() if past_the_gate else None
    if problem and not past_the_gate:
        return Fate("evaluation", ("evaluation",), problem)
    if verdict is None:
        verdict = read(Verdict, judged.path("verdict"))
        if verdict.decision is not Decision.CONTINUE:
            wrong = [c for c in verdict.checks if c.status is not CheckStatus.PASSED]
            return Fate(BY_GATE, tuple(c.name for c in wrong), verdict.reasons[0])
    return _tried(planted, life, _begun(life, judged, verdict))


def _make_room(life: Life) -> None:
    """End whatever is on trial or waits."""
    rollouts = life.place.rollouts
    for record in rollouts.rollouts(life.spec.name, TENANT):
        if record.state not in OVER:
            rollouts.end(record.rollout_id, _ENDED, TENANT)


def _judged(life: Life, night: Night, folder: Path) -> tuple[Night, str]:
    """The night with the planted policy in PPO's place and nothing beside it, judged; or why it could not
    be."""
    nobody = folder.with_name("nobody")
    write((), nobody / NOTES, tuple[LearnedNote, ...])
    alone = {
        "policy": Output(str(folder)),
        "chosen": Output(str(folder)),
        "alternatives": Output(str(nobody)),
        "report_only": Output(str(nobody)),
    }
    judged = Night(folder.with_name("judged"), dict(night.outputs) | alone)
    arguments = arguments_of(life.spec, life.place.home, life.days[-1].played.date)
    problem = ""
    try:
        for step in JUDGED:
            run_step(step, arguments, judged, lambda _: None)
    except EverloopError as found:
        problem = str(found)
        judged.outputs = dict(night.outputs) | alone
    run_step("register", arguments, judged, lambda _: None)
    return judged, problem


def _allowed() -> Verdict:
    told = Check("none", CheckStatus.PASSED, "The gate was passed by for this benchmark.")
    return Verdict(Decision.CONTINUE, (told,))


def _begun(life: Life, judged: Night, verdict: Verdict) -> RolloutRecord:
    answer = life.place.home / "verdict.json"
    write(verdict, answer)
    judged.outputs["verdict"] = Output(str(answer))
    return life.start(judged)


def _tried(planted: Planted, life: Life, record: RolloutRecord) -> Fate:
    """Let people live with it until its trial is over, or the days are."""
    fate = Fate()
    if planted.turned:
        turn = Turn(day=life.finished, radians=planted.turned)
        told = replace(life.population.spec, misbehaviour=Misbehaviour(turns=(turn,)))
        life.population.spec = told
    met: set[str] = set()
    theirs, others = [], []
    while record.state not in OVER and fate.days < life.terms.trial_days:
        served = life.serve()
        life.watch()
        fate.days += 1
        candidates = (served.arm == Arm.CANDIDATE.value) & ~served.fallback
        met.update(np.array(served.people)[candidates].tolist())
        fate.decisions += met_candidate(served)
        made = served.played.decisions
        each = (made.propensities * made.expected_reward).sum(axis=1)
        theirs.append(each[candidates])
        others.append(each[~candidates])
        record = life.place.rollouts.rollout(record.rollout_id, TENANT)
    fate.people = len(met)
    if fate.people:
        fate.lost = float(np.concatenate(others).mean() - np.concatenate(theirs).mean())
    last = life.place.deployments.last_event(record.rollout_id, (), TENANT)
    by = () if last is None else last.evidence.get("decided_by", ())
    fate.checks = tuple(str(name) for name in by) if isinstance(by, list | tuple) else ()
    fate.reason = record.reasons[0] if record.reasons else ""
    fate.stopped_by = ROLLED_BACK if record.state == "rolled_back" else record.state
    return fate
