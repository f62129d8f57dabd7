"""What every ``DeploymentStore`` must do."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldNameKnownId,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
)
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Estimate, Verdict
from everloop.contracts.models import ModelType
from everloop.contracts.ports import Registry
from everloop.contracts.rollout_ports import DeploymentStore, RolloutStore
from everloop.contracts.rollouts import Deployment, Head, SafetyBreaker, Serves, Stay
from everloop.contracts.service_ports import AuditLog
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.deployments import SqlDeploymentStore
from everloop.storage.sql.engine import writing
from everloop.storage.sql.registry import SqlRegistry
from everloop.storage.sql.rollouts import SqlRolloutStore
from tests.deployment_records import LOOP, deployment, fill, part, registered, rollout
from tests.log_records import NOON, SetClock, uuid_of
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

PAIRING, EMOTION = ModelType.PAIRING, ModelType.EMOTION
ONE = deployment(part(1), part(1, PAIRING), part(1, EMOTION))
TWO = deployment(part(2), part(2, PAIRING))
LATER = NOON + timedelta(hours=1)


@dataclass
class Place:
    """The stores that meet in a deployment."""

    deployments: DeploymentStore
    rollouts: RolloutStore
    registry: Registry
    audit: AuditLog

    def swap(self, made: Deployment, revision: int | None = None, **more: Any) -> Head:
        seen = self.deployments.head(LOOP, made.tenant).revision if revision is None else revision
        return self.deployments.swap(
            made, seen, more.pop("kind", "deployed"), "because", "cli:test", **more
        )

    def serving(self, tenant: str = "default") -> dict[str, str | None]:
        serves = self.deployments.head(LOOP, tenant).serves
        return {role: found.checkpoint_id for role, found in serves.items()}

    def state(self) -> tuple[Any, ...]:
        """Everything that a refused change must leave as it was."""
        return (
            self.deployments.head(LOOP),
            self.deployments.events(LOOP),
            self.deployments.deployments(LOOP),
            self.registry.deployment_log(LOOP),
            self.rollouts.rollouts(LOOP),
            self.audit.entries("default", 0, 1000),
            [made.active for made in self.registry.checkpoints(LOOP)],
        )


Opener = Callable[[], Place]


def parts(made: Deployment) -> dict[str, str]:
    return {artefact.role: artefact.artefact_id for artefact in made.artefacts}


def estimate(**changes: Any) -> Estimate:
    values: dict[str, Any] = {
        "name": "difference",
        "value": 0.1 + 0.2,
        "low": -0.01,
        "high": 0.5,
        "confidence": 0.95,
        "n": 100,
        "clusters": 40,
        "method": "dr",
    }
    return Estimate(**(values | changes))


class DeploymentStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same stores again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def place(self, reopen: Opener) -> Place:
        made = reopen()
        fill(made.registry)
        return made

    def test_a_deployment_is_read_as_it_was_recorded(self, place: Place, reopen: Opener) -> None:
        checks = (
            Check("overlap", CheckStatus.PASSED, "é", 1.5, None),
            Check("margin", CheckStatus.PASSED, "above", 0.1 + 0.2, -0.05),
        )
        made = replace(
            ONE,
            verdict=Verdict(Decision.CONTINUE, checks, {"evaluation": "a" * 64}),
            predicted=estimate(low=math.nan, high=math.inf),
            baseline=estimate(low=-math.inf),
            run_id="walk-2026-03-11",
        )
        assert repr(place.deployments.record(made)) == repr(made)  # NaN is no equal of itself
        stored = reopen().deployments.deployment(made.deployment_id)
        assert repr(stored) == repr(made)
        assert (stored.verdict, stored.baseline) == (made.verdict, made.baseline)

    def test_recording_again_keeps_the_first_judgement_and_adds_one_that_is_missing(
        self, place: Place
    ) -> None:
        place.deployments.record(ONE)
        judged = replace(ONE, predicted=estimate(), run_id="r1", made_at=LATER)
        found = place.deployments.record(judged)
        assert (found.predicted, found.run_id, found.made_at) == (estimate(), "r1", NOON)
        again = replace(judged, predicted=estimate(value=0.4), run_id="r2")
        assert place.deployments.record(again) == found
        assert place.deployments.deployments(LOOP) == (found,)

    def test_an_id_that_is_not_of_the_parts_is_refused(self, place: Place) -> None:
        with pytest.raises(ShouldFixArgument, match=ONE.deployment_id):
            place.deployments.record(replace(TWO, deployment_id=ONE.deployment_id))
        assert place.deployments.deployments(LOOP) == ()

    def test_an_unknown_deployment_is_named(self, place: Place) -> None:
        place.deployments.record(ONE)
        for known, tenant in ((TWO.deployment_id, "default"), (ONE.deployment_id, "other")):
            with pytest.raises(ShouldNameKnownId, match=known):
                place.deployments.deployment(known, tenant)
            with pytest.raises(ShouldNameKnownId, match=known):
                place.deployments.measured(known, None, "ended", tenant)

    def test_deployments_come_newest_first_and_by_page(self, place: Place) -> None:
        for number, at in ((1, 1), (2, 3), (3, 2)):
            made = deployment(part(number), made_at=NOON + timedelta(hours=at))
            place.deployments.record(made)
        found = place.deployments.deployments(LOOP)
        assert [made.artefacts[0].version for made in found] == ["v2", "v3", "v1"]
        assert place.deployments.deployments(LOOP, 2) == found[:2]
        assert place.deployments.deployments("run") == ()
        for limit in (0, 1001):
            with pytest.raises(ShouldFixArgument, match=str(limit)):
                place.deployments.deployments(LOOP, limit)

    def test_the_first_measurement_stays(self, place: Place, reopen: Opener) -> None:
        place.deployments.record(ONE)
        found = place.deployments.measured(ONE.deployment_id, estimate(), "rolled_back")
        assert (found.measured, found.outcome) == (estimate(), "rolled_back")
        assert place.deployments.measured(ONE.deployment_id, None, "promoted") == found
        assert reopen().deployments.deployment(ONE.deployment_id) == found
        place.deployments.record(TWO)
        assert place.deployments.measured(TWO.deployment_id, None, "ended").outcome == "ended"
        again = place.deployments.measured(TWO.deployment_id, estimate(), "promoted")
        assert (again.measured, again.outcome) == (None, "ended")
        with pytest.raises(ShouldFixArgument, match="outcome"):
            place.deployments.measured(ONE.deployment_id, None, "")

    def test_a_loop_that_serves_nothing_has_an_empty_head(self, place: Place) -> None:
        assert place.deployments.head(LOOP) == Head(LOOP)
        assert place.deployments.heads() == ()

    def test_a_swap_moves_every_role_at_once_and_clears_the_rest(
        self, place: Place, reopen: Opener
    ) -> None:
        head = place.swap(ONE)
        assert (head.revision, head.deployment_id) == (1, ONE.deployment_id)
        assert place.serving() == parts(ONE)
        head = place.swap(TWO)
        assert head == reopen().deployments.head(LOOP)
        assert (head.revision, head.deployment_id) == (2, TWO.deployment_id)
        assert place.serving() == {**parts(TWO), "emotion": None}
        assert head.serves["emotion"] == Serves(None, 2)
        assert place.registry.alias(LOOP, "active") == (part(2).artefact_id, 2)
        assert place.registry.checkpoint(part(2).artefact_id).active
        assert not place.registry.checkpoint(part(1).artefact_id).active

    def test_a_part_that_stays_is_not_moved(self, place: Place) -> None:
        place.swap(ONE)
        head = place.swap(deployment(part(2), part(1, PAIRING), part(1, EMOTION)))
        assert head.serves["policy"].generation == 2
        assert head.serves["pairing"].generation == head.serves["emotion"].generation == 1
        log = place.registry.deployment_log(LOOP)
        assert [row["alias"] for row in log if row["generation"] == 2] == ["active"]
        assert {row["reason"] for row in log} == {"because"}

    def test_a_swap_is_an_event_and_audited(self, place: Place) -> None:
        evidence = {"checks": [1, 0.1 + 0.2]}
        place.swap(ONE, evidence=evidence)
        (event,) = place.deployments.events(LOOP)
        assert (event.sequence, event.kind, event.reason) == (1, "deployed", "because")
        assert (event.actor, event.deployment_id) == ("cli:test", ONE.deployment_id)
        assert event.evidence == evidence
        entries = place.audit.entries("default")
        assert [entry.action for entry in entries] == ["rollout.deployed", *["model.deploy"] * 3]
        assert {entry.actor for entry in entries} == {"cli:test"}
        assert entries[0].resource == ONE.deployment_id
        assert sorted(entry.resource for entry in entries[1:]) == sorted(parts(ONE).values())
        assert {entry.detail["previous"] for entry in entries[1:]} == {None}

    def test_a_reason_that_looks_like_a_person_stops_no_swap(self, place: Place) -> None:
        head = place.deployments.head(LOOP)
        place.deployments.swap(ONE, head.revision, "deployed", f"see {'a' * 64}", "")
        assert place.serving() == parts(ONE)
        assert {entry.actor for entry in place.audit.entries("default")} == {"everloop"}

    def test_a_swap_without_a_reason_is_refused(self, place: Place) -> None:
        with pytest.raises(ShouldFixArgument, match="reason"):
            place.deployments.swap(ONE, 0, "deployed", " ", "")
        assert place.serving() == {}

    @pytest.mark.parametrize("seen", [0, 2])
    def test_another_revision_changes_nothing(self, place: Place, seen: int) -> None:
        place.swap(ONE)
        before = place.state()
        with pytest.raises(ShouldResolveConflict, match="revision 1"):
            place.swap(TWO, seen)
        assert place.state() == before

    def test_swapping_to_what_serves_changes_nothing(self, place: Place) -> None:
        head = place.swap(ONE)
        before = place.state()
        assert place.swap(ONE) == head
        assert place.state() == before

    def test_a_part_that_is_not_registered_for_the_loop_is_refused(self, place: Place) -> None:
        place.swap(ONE)
        place.registry.register(registered(7, loop="run"))
        foreign = replace(part(7), artefact_id=registered(7, loop="run").checkpoint_id)
        damaged = replace(part(2), sha256="f" * 64)
        before = place.state()
        for wrong in (foreign, replace(part(2), artefact_id=uuid_of(99)), damaged):
            with pytest.raises(ShouldRestoreArtefact, match=wrong.artefact_id):
                place.swap(deployment(part(3, PAIRING), wrong))
        assert place.state() == before

    def test_a_single_part_that_is_moved_leaves_no_deployment_serving(self, place: Place) -> None:
        place.swap(ONE)
        place.registry.set_alias(LOOP, "active-pairing", part(2, PAIRING).artefact_id, 1, "by hand")
        head = place.deployments.head(LOOP)
        assert (head.revision, head.deployment_id) == (2, "")
        assert place.deployments.events(LOOP)[-1].deployment_id == ""
        with pytest.raises(ShouldResolveConflict):
            place.swap(TWO, 1)
        assert place.swap(ONE).deployment_id == ONE.deployment_id
        assert place.serving() == parts(ONE)

    def test_parts_that_serve_one_by_one_become_a_deployment_without_a_move(
        self, place: Place
    ) -> None:
        for alias, kind in (("active", ModelType.INTERVENTION), ("active-pairing", PAIRING)):
            place.registry.set_alias(LOOP, alias, part(2, kind).artefact_id, 0, "by hand")
        log = place.registry.deployment_log(LOOP)
        assert place.swap(TWO).deployment_id == TWO.deployment_id
        assert place.registry.deployment_log(LOOP) == log
        assert place.deployments.events(LOOP)[-1].deployment_id == TWO.deployment_id

    def test_other_aliases_and_repeated_ones_leave_the_head(self, place: Place) -> None:
        place.swap(ONE)
        place.registry.set_alias(LOOP, "shadow", part(2).artefact_id, 0, "aside")
        assert place.deployments.head(LOOP).revision == 1
        place.registry.set_alias(LOOP, "active", part(1).artefact_id, 1, "confirmed")
        head = place.deployments.head(LOOP)
        assert (head.revision, head.deployment_id) == (2, ONE.deployment_id)
        place.registry.set_alias(LOOP, "candidate", part(2).artefact_id, 0, "on trial")
        head = place.deployments.head(LOOP)
        assert (head.revision, head.deployment_id) == (3, ONE.deployment_id)
        assert set(head.serves) == {"policy", "pairing", "emotion"}

    def test_a_trial_is_promoted_with_its_deployment(self, place: Place) -> None:
        place.swap(ONE)
        place.deployments.record(TWO)
        trial = place.rollouts.start(rollout(2, deployment_id=TWO.deployment_id))
        assert place.deployments.head(LOOP).trial == trial
        assert place.registry.alias(LOOP, "candidate") == (part(2).artefact_id, 1)
        over = replace(
            trial,
            state="promoted",
            traffic_percent=0.0,
            history=(*trial.history, Stay("promoted", 0.0, LATER)),
        )
        head = place.swap(TWO, kind="promoted", rollout=over)
        assert head.trial is None
        assert place.serving() == {**parts(TWO), "emotion": None}
        assert place.rollouts.rollout(trial.rollout_id) == replace(over, generation=1)
        assert place.registry.alias(LOOP, "candidate") == (None, 2)
        event = place.deployments.last_event(trial.rollout_id)
        assert event is not None
        assert (event.kind, event.deployment_id) == ("promoted", TWO.deployment_id)
        assert event == place.deployments.events(LOOP)[-1]

    def test_a_trial_is_rolled_back_beside_what_serves(self, place: Place) -> None:
        head = place.swap(ONE)
        trial = place.rollouts.start(rollout(2, deployment_id=TWO.deployment_id))
        log = place.registry.deployment_log(LOOP)
        over = replace(trial, state="rolled_back", traffic_percent=0.0)
        after = place.swap(ONE, kind="rolled_back", rollout=over)
        assert after.serves == head.serves
        assert (after.trial, after.revision) == (None, 3)
        moved = [r for r in place.registry.deployment_log(LOOP) if r["alias"] != "candidate"]
        assert moved == [r for r in log if r["alias"] != "candidate"]

    def _promoted(self, place: Place) -> str:
        """ONE promoted by a trial that began while nothing served; the trial's id."""
        place.deployments.record(ONE)
        trial = place.rollouts.start(rollout(1, deployment_id=ONE.deployment_id))
        over = replace(trial, state="promoted", traffic_percent=0.0)
        place.swap(ONE, kind="promoted", rollout=over)
        place.deployments.measured(ONE.deployment_id, estimate(), "promoted")
        return trial.rollout_id

    def _withdraw(self, place: Place, revision: int | None = None, **more: Any) -> Head:
        seen = place.deployments.head(LOOP).revision if revision is None else revision
        given = {"withdrawn": ONE.deployment_id, "reason": "complaints"} | more
        return place.deployments.withdraw(
            LOOP, expected_revision=seen, actor="cli:test", evidence={"by_hand": "ann"}, **given
        )

    def test_a_withdrawal_clears_every_role_at_once(self, place: Place, reopen: Opener) -> None:
        trial = self._promoted(place)
        before = place.deployments.head(LOOP)
        head = self._withdraw(place)
        assert head == reopen().deployments.head(LOOP)
        assert place.serving() == {"policy": None, "pairing": None, "emotion": None}
        assert (head.revision, head.deployment_id) == (before.revision + 1, "")
        assert not place.registry.checkpoint(part(1).artefact_id).active
        event = place.deployments.last_event(trial)
        assert event is not None
        assert event == place.deployments.events(LOOP)[-1]
        assert (event.kind, event.actor, event.reason) == ("rolled_back", "cli:test", "complaints")
        assert event.deployment_id == ""
        assert event.evidence == {"by_hand": "ann", "withdrawn": ONE.deployment_id}
        kept = place.deployments.deployment(ONE.deployment_id)
        assert (kept.outcome, kept.measured) == ("withdrawn", estimate())
        cleared = [row for row in place.registry.deployment_log(LOOP) if row["generation"] == 2]
        assert {row["reason"] for row in cleared} >= {"complaints"}
        actions = [entry.action for entry in place.audit.entries("default", 0, 1000)][-4:]
        assert actions == ["rollout.rolled_back", *["model.deploy"] * 3]

    def test_a_withdrawal_where_nothing_serves_changes_nothing(self, place: Place) -> None:
        self._promoted(place)
        head = self._withdraw(place)
        before = place.state()
        assert self._withdraw(place) == head
        assert place.state() == before

    def test_a_withdrawal_that_lost_or_says_no_reason_changes_nothing(self, place: Place) -> None:
        self._promoted(place)
        foreign = rollout(3, loop="run")
        before = place.state()
        with pytest.raises(ShouldResolveConflict, match="revision"):
            self._withdraw(place, 0)
        with pytest.raises(ShouldFixArgument, match="reason"):
            self._withdraw(place, reason=" ")
        with pytest.raises(ShouldFixArgument, match="run"):
            self._withdraw(place, rollout=foreign)
        assert place.state() == before

    def test_a_withdrawal_and_its_trial_are_one(self, place: Place) -> None:
        place.swap(ONE)
        trial = place.rollouts.start(rollout(1, deployment_id=ONE.deployment_id))
        over = replace(trial, state="rolled_back", traffic_percent=0.0)
        before = place.state()
        with pytest.raises(ShouldResolveConflict):
            self._withdraw(place, rollout=replace(over, generation=5))
        assert place.state() == before
        assert self._withdraw(place, rollout=over).trial is None
        assert place.rollouts.rollout(trial.rollout_id).state == "rolled_back"
        event = place.deployments.events(LOOP)[-1]
        assert (event.kind, event.rollout_id) == ("rolled_back", trial.rollout_id)

    def test_a_promoted_one_that_is_replaced_by_what_served_before_is_withdrawn(
        self, place: Place
    ) -> None:
        place.swap(TWO)
        trial = self._promoted(place)
        place.swap(TWO, kind="rolled_back", withdrawn=ONE.deployment_id)
        event = place.deployments.last_event(trial)
        assert event is not None
        assert (event.kind, event.deployment_id) == ("rolled_back", TWO.deployment_id)
        assert event.evidence["withdrawn"] == ONE.deployment_id
        kept = place.deployments.deployment(ONE.deployment_id)
        assert (kept.outcome, kept.measured) == ("withdrawn", estimate())

    def test_replacing_a_promoted_one_leaves_it_promoted_and_other_outcomes_stay(
        self, place: Place
    ) -> None:
        self._promoted(place)
        place.swap(TWO)
        assert place.deployments.deployment(ONE.deployment_id).outcome == "promoted"
        place.deployments.measured(TWO.deployment_id, None, "ended")
        place.swap(ONE, kind="rolled_back", withdrawn=TWO.deployment_id)
        assert place.deployments.deployment(TWO.deployment_id).outcome == "ended"
        assert place.deployments.events(LOOP)[-1].rollout_id == ""

    @pytest.mark.parametrize("lost", ["generation", "revision", "over", "unknown", "loop"])
    def test_a_swap_and_its_trial_are_one(self, place: Place, lost: str) -> None:
        place.swap(ONE)
        trial = place.rollouts.start(rollout(2))
        if lost == "over":
            trial = place.rollouts.end(trial.rollout_id, "enough")
        revision = place.deployments.head(LOOP).revision
        over = replace(trial, state="promoted", traffic_percent=0.0)
        error: type[Exception] = ShouldResolveConflict
        if lost == "generation":
            over = replace(over, generation=trial.generation + 1)
        elif lost == "revision":
            revision -= 1
        elif lost == "unknown":
            over, error = replace(over, rollout_id="nobody's"), ShouldNameKnownId
        elif lost == "loop":
            over, error = replace(over, loop="run"), ShouldFixArgument
        before = place.state()
        with pytest.raises(error):
            place.swap(TWO, revision, rollout=over)
        assert place.state() == before

    def test_the_breaker_is_part_of_the_head(self, place: Place, reopen: Opener) -> None:
        place.swap(ONE)
        opened = SafetyBreaker(True, "harm was reported", NOON)
        head = place.deployments.set_breaker(LOOP, opened, 1, "cli:test", "default")
        assert (head.breaker, head.revision, head.deployment_id) == (opened, 2, ONE.deployment_id)
        assert reopen().deployments.head(LOOP) == head
        assert place.deployments.set_breaker(LOOP, opened, 2, "cli:test", "default") == head
        with pytest.raises(ShouldResolveConflict):
            place.deployments.set_breaker(LOOP, SafetyBreaker(), 1, "cli:test", "default")
        place.swap(TWO)
        assert place.deployments.head(LOOP).breaker == opened
        closed = place.deployments.set_breaker(
            LOOP, SafetyBreaker(reason="looked at"), 3, "cli:test", "default"
        )
        assert not closed.breaker.open
        kinds = [(event.kind, event.reason) for event in place.deployments.events(LOOP)]
        assert ("breaker_opened", "harm was reported") in kinds
        assert kinds[-1] == ("breaker_closed", "looked at")
        assert place.audit.entries("default")[-1].action == "rollout.breaker_closed"

    def test_heads_are_of_all_that_ever_served_or_tried_something(self, place: Place) -> None:
        place.swap(ONE)
        fill(place.registry, tenant="other")
        theirs = part(1, tenant="other")
        place.registry.set_alias(LOOP, "active", theirs.artefact_id, 0, "first", "other")
        place.rollouts.start(rollout(3, loop="run", state="shadow", traffic_percent=0.0))
        place.rollouts.start(rollout(4, loop="jump", state="waiting", traffic_percent=0.0))
        found = place.deployments.heads()
        assert [(h.tenant, h.loop) for h in found] == [
            ("default", "jump"),
            ("default", "run"),
            ("default", LOOP),
            ("other", LOOP),
        ]
        assert found[2] == place.deployments.head(LOOP)
        cleared = place.registry.set_alias(LOOP, "active", None, 1, "gone", "other")
        assert cleared == 2
        assert [h.tenant for h in place.deployments.heads()] == ["default"] * 3 + ["other"]

    def test_tenants_do_not_meet(self, place: Place) -> None:
        fill(place.registry, tenant="other")
        place.swap(ONE)
        place.swap(deployment(part(2, tenant="other"), tenant="other"))
        assert place.serving() == parts(ONE)
        assert place.serving("other") == {"policy": part(2, tenant="other").artefact_id}
        assert len(place.deployments.events(LOOP)) == 1
        (event,) = place.deployments.events(LOOP, tenant="other")
        assert event.sequence == 1

    def test_events_are_read_page_by_page_and_never_changed(self, place: Place) -> None:
        for made in (ONE, TWO, ONE):
            place.swap(made)
        found = place.deployments.events(LOOP)
        assert [event.sequence for event in found] == [1, 2, 3]
        assert place.deployments.events(LOOP, 1, 1) == found[1:2]
        assert place.deployments.events(LOOP, 3) == ()
        for limit in (0, 1001):
            with pytest.raises(ShouldFixArgument, match=str(limit)):
                place.deployments.events(LOOP, 0, limit)
        for statement in ("UPDATE rollout_events SET reason = ''", "DELETE FROM rollout_events"):
            with pytest.raises(IntegrityError), writing(self.database()) as connection:
                connection.execute(text(statement))
        assert place.deployments.events(LOOP) == found

    def test_the_newest_event_of_a_rollout_is_found_by_kind(self, place: Place) -> None:
        trial = place.rollouts.start(rollout(2, state="shadow", traffic_percent=0.0))
        place.rollouts.start(rollout(3))
        stepped = place.rollouts.advance(replace(trial, state="started"), "step", "1 %", "cli:test")
        place.rollouts.advance(stepped, "hold", "too few", "cli:test", {"n": 3})
        name = trial.rollout_id
        newest = place.deployments.last_event(name)
        assert newest is not None
        assert (newest.kind, newest.evidence) == ("hold", {"n": 3})
        stepping = place.deployments.last_event(name, ("shadow", "step"))
        assert stepping is not None
        assert (stepping.kind, stepping.reason) == ("step", "1 %")
        assert place.deployments.last_event(name, ("promoted",)) is None
        assert place.deployments.last_event(name, (), "other") is None

    def test_of_many_at_once_one_wins_each_revision(self, place: Place, reopen: Opener) -> None:
        won: list[int] = []

        def race(made: Deployment) -> None:
            own = reopen()
            for revision in range(8):
                try:
                    head = own.swap(made if revision % 2 else ONE, revision)
                except ShouldResolveConflict:
                    continue
                if head.revision == revision + 1:
                    won.append(revision)

        threads = [
            threading.Thread(target=race, args=(deployment(part(number)),)) for number in (2, 3, 4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == len(set(won)) == place.deployments.head(LOOP).revision
        assert [e.sequence for e in place.deployments.events(LOOP)] == [*range(1, len(won) + 1)]

    @abstractmethod
    def database(self) -> Engine:
        """The database of the test."""


class SqlDeploymentStoreSuite(DeploymentStoreSuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        self._engines = self.engines(folder)

        def opened() -> Place:
            engine = self._engines()
            return Place(
                SqlDeploymentStore(engine),
                SqlRolloutStore(engine),
                SqlRegistry(engine),
                SqlAuditLog(engine, SetClock()),
            )

        return opened

    def database(self) -> Engine:
        return self._engines()


class TestSqlDeploymentStore(OnSqlite, SqlDeploymentStoreSuite):
    pass


class TestSqlDeploymentStoreOnPostgresql(OnPostgresql, SqlDeploymentStoreSuite):
    pass
