"""Any evidence in any order, and two controllers whose looks and acts interleave."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from everloop.contracts.evaluation import Check, CheckStatus, Decision
from everloop.contracts.rollouts import RolloutRecord, SampleRatio
from everloop.rollout.decide import decide_trial, moved, next_state
from everloop.rollout.trial_checks import TrialEvidence
from tests.unit.rollout.trials import ASKS, BEGUN, SPEC, estimate, figures, guardrails, trial

STATUS = st.sampled_from(list(CheckStatus))
LOW = st.sampled_from([-0.1, 0.0, 0.01, float("nan")])
WIDTH = st.sampled_from([0.0, 0.05, 0.2])


@st.composite
def evidences(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(LOW)
    return {
        "shadow": tuple(
            Check("shadow", s, "It is so.") for s in draw(st.lists(STATUS, max_size=2))
        ),
        "hard": tuple(Check("hard", s, "It is so.") for s in draw(st.lists(STATUS, max_size=2))),
        "approved": draw(st.booleans()),
        "active_unchanged": draw(st.sampled_from([True, True, True, False])),
        "figures": draw(st.sampled_from([None, "present", "present", "present"])),
        "changes": {
            "primary": estimate(low, low + draw(WIDTH)),
            "guardrails": guardrails(draw(st.sampled_from([True, True, False, None]))),
            "drifted": draw(st.sampled_from([False, False, True])),
            "ratio": SampleRatio({}, {}, 0.0, draw(st.sampled_from([False, False, True]))),
            "fairness": draw(st.none() | st.builds(Check, st.just("p"), STATUS, st.just("So."))),
            "exposed": draw(
                st.sampled_from(
                    [{}, {"control": 500, "candidate": 99}, {"control": 500, "candidate": 100}]
                )
            ),
        },
    }


class Trials(RuleBasedStateMachine):
    """One trial in a store with generations; two controllers that read it now and write later."""

    spec = ASKS

    def __init__(self) -> None:
        super().__init__()
        self.stored: RolloutRecord = trial("shadow", 0.0, 0)
        self.now = BEGUN
        self.seen: dict[int, RolloutRecord] = {}
        self.acts: dict[int, int] = {}
        self.over: RolloutRecord | None = None

    @rule(hours=st.sampled_from([0.5, 12.0, 24.0, 200.0]))
    def time_passes(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    @rule(who=st.integers(0, 1))
    def look(self, who: int) -> None:
        self.seen[who] = self.stored

    @rule(who=st.integers(0, 1), found=evidences())
    def decide_and_write(self, who: int, found: dict[str, Any]) -> None:
        record = self.seen.get(who)
        if record is None or not record.live:
            return
        experiment = figures(until=self.now, **found["changes"]) if found["figures"] else None
        evidence = TrialEvidence(
            self.now,
            found["shadow"],
            found["hard"],
            experiment,
            found["approved"],
            found["active_unchanged"],
        )
        verdict = decide_trial(self.spec, record, evidence)
        after = next_state(self.spec, record, verdict)
        if after is not None and after.state == "promoted":
            self._require_every_condition(record, evidence)
        if verdict.decision is Decision.HOLD or record.state == "paused":
            assert after is None or after.traffic_percent == 0.0
        if after is not None and after.traffic_percent > record.traffic_percent:
            self._require_a_step(record, after, evidence)
        if after is not None:
            self._write(after)

    @rule(who=st.integers(0, 1))
    def pause_or_resume(self, who: int) -> None:
        record = self.seen.get(who)
        if record is None or record.state not in ("started", "paused"):
            return
        state: Any = "paused" if record.state == "started" else "started"
        self._write(moved(record, state, record.traffic_percent, self.now, ("By hand.",)))

    def _write(self, after: RolloutRecord) -> None:
        """What ``RolloutStore.advance`` does."""
        if after.generation != self.stored.generation or not self.stored.live:
            return
        self.acts[after.generation] = self.acts.get(after.generation, 0) + 1
        self.stored = replace(after, generation=after.generation + 1)

    def _require_every_condition(self, record: RolloutRecord, evidence: TrialEvidence) -> None:
        found = evidence.experiment
        assert found is not None
        assert record.state == "started"
        assert record.traffic_percent >= self.spec.rollout.promote_from_percent
        assert evidence.now - record.entered_at >= timedelta(hours=24)
        assert found.primary.low > 0
        assert {g.name for g in found.guardrails if g.held is True} == set(SPEC.signal_names)
        assert evidence.hard
        assert all(check.status is CheckStatus.PASSED for check in evidence.hard)
        assert not found.drifted
        assert not found.ratio.mismatch
        assert found.fairness is not None
        assert found.fairness.status is not CheckStatus.FAILED
        assert min(found.exposed["control"], found.exposed["candidate"]) >= 100
        assert evidence.approved
        assert evidence.active_unchanged

    def _require_a_step(
        self, record: RolloutRecord, after: RolloutRecord, evidence: TrialEvidence
    ) -> None:
        ramp = self.spec.rollout.ramp
        if record.state == "shadow":
            assert (after.traffic_percent, after.step) == (ramp[0], 0)
            assert evidence.shadow
            assert all(check.status is CheckStatus.PASSED for check in evidence.shadow)
            return
        found = evidence.experiment
        assert record.state == "started"
        assert (after.traffic_percent, after.step) == (ramp[record.step + 1], record.step + 1)
        assert evidence.now - record.entered_at >= timedelta(hours=24)
        assert found is not None
        assert found.primary.value == found.primary.value
        assert found.fairness is not None
        assert CheckStatus.PASSED in {check.status for check in evidence.hard}

    @invariant()
    def what_is_over_stays_over(self) -> None:
        if self.over is not None:
            assert self.stored == self.over
        elif not self.stored.live:
            assert self.stored.traffic_percent == 0.0
            self.over = self.stored

    @invariant()
    def nobody_acts_twice_on_one_state(self) -> None:
        assert all(count == 1 for count in self.acts.values())

    @invariant()
    def the_history_tells_it_all(self) -> None:
        last = self.stored.history[-1]
        assert (last.state, last.traffic_percent) == (
            self.stored.state,
            self.stored.traffic_percent,
        )


TestTrials = Trials.TestCase
TestTrials.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_the_machine_can_promote() -> None:
    """Otherwise its conditions would hold of nothing."""
    machine = Trials()
    machine.look(0)
    good: dict[str, Any] = {
        "shadow": (Check("shadow", CheckStatus.PASSED, "Fine."),),
        "hard": (Check("hard", CheckStatus.PASSED, "Fine."),),
        "approved": True,
        "active_unchanged": True,
        "figures": "present",
        "changes": {},
    }
    for _ in range(6):
        machine.look(0)
        machine.decide_and_write(0, good)
        machine.time_passes(24.0)
    assert machine.stored.state == "promoted"
    assert [stay.traffic_percent for stay in machine.stored.history] == [0.0, 1.0, 5.0, 25.0, 0.0]
