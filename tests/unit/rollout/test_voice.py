"""A voice on trial: its adapter and prompt are tried, promoted and taken back apart from what decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.evaluation import Decision, Verdict
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.rollout_spec import ShadowSpec
from everloop.contracts.rollouts import Deployment, Head, RolloutRecord
from everloop.registry.manifest import candidate_of, manifest_of, voice_candidate_of
from everloop.registry.promotion import adopted, promote
from everloop.rollout import by_hand
from everloop.rollout.control import act
from everloop.rollout.settle import NEWER, OUTDATED, needs_a_new_look
from everloop.rollout.standing import standing_verdict
from everloop.rollout.start import start_rollout
from everloop.sdk import rollouts as sdk_rollouts
from tests.unit.rollout.places import GO, HOLD, LOOP, NOW, Places
from tests.unit.rollout.test_control import OPEN, counted, shown
from tests.unit.rollout.trials import SPEC, spec_with

LATER = NOW + timedelta(hours=30)
SPOKEN = {"provenance": Provenance.CONSENTED_TEXT}


@pytest.fixture(autouse=True)
def _voices(places: Places) -> None:
    for name in ("a1", "a2", "a3"):
        places.checkpoint(name, model_type=ModelType.ADAPTER, **SPOKEN)
    for name in ("p1", "p2"):
        places.checkpoint(name, model_type=ModelType.PROMPT, **SPOKEN)


def speaks(places: Places, *names: str) -> Deployment:
    """Deploy policy ``old`` and some more beside it by hand."""
    rows = [places.registry.checkpoint(name) for name in ("old", *names)]
    made = manifest_of(rows, NOW)
    head = places.deployments.head(LOOP)
    places.deployments.swap(made, head.revision, "deployed", "by hand", "ann")
    return made


def voice(
    places: Places,
    adapter: str = "a2",
    prompt: str | None = "p2",
    verdict: Verdict | None = GO,
    spec: Any = OPEN,
    now: Any = NOW,
) -> RolloutRecord:
    row = places.registry.checkpoint(adapter)
    said = None if prompt is None else places.registry.checkpoint(prompt)
    _, serving = adopted(LOOP, "default", places.registry, places.deployments)
    made = voice_candidate_of(row, said, serving, now, verdict)
    return start_rollout(spec, made, places, now, serving)


def policy(places: Places, name: str = "one", now: Any = NOW) -> RolloutRecord:
    _, serving = adopted(LOOP, "default", places.registry, places.deployments)
    row = places.registry.checkpoint(name)
    made = candidate_of(row, places.registry, serving, now, GO)
    return start_rollout(OPEN, made, places, now, serving)


def now_serves(places: Places) -> dict[str, str]:
    head: Head = places.deployments.head(LOOP)
    return {role: s.checkpoint_id for role, s in head.serves.items() if s.checkpoint_id}


def kept(places: Places, rollout: RolloutRecord) -> RolloutRecord:
    return places.rollouts.rollout(rollout.rollout_id)


def test_a_voice_begins_with_people_at_the_first_step_of_the_ramp(places: Places) -> None:
    speaks(places, "a1", "p1")
    spec = spec_with(shadow=ShadowSpec(decisions=500), ramp=(5.0, 25.0, 100.0))
    record = voice(places, spec=spec)
    assert (record.subject, record.candidate, record.active) == ("adapter", "a2", "a1")
    assert (record.state, record.traffic_percent) == ("started", 5.0)
    assert places.candidate() == "a2"
    assert now_serves(places) == {"policy": "old", "adapter": "a1", "prompt": "p1"}
    assert kept(places, record) == record


def test_a_voice_goes_up_the_ramp_is_promoted_and_taken_back_whole(places: Places) -> None:
    before = speaks(places, "a1", "p1")
    spec = spec_with(
        shadow=ShadowSpec(decisions=0), ramp=(5.0, 25.0, 100.0), promote_from_percent=25.0
    )
    record = voice(places, spec=spec)
    act(spec, places, LATER, shown(record))
    assert kept(places, record).traffic_percent == 25.0
    verdict = act(spec, places, NOW + timedelta(hours=60), shown(record, hours=60.0))
    assert verdict is not None
    assert verdict.decision is Decision.PROMOTE, verdict.reasons
    assert now_serves(places) == {"policy": "old", "adapter": "a2", "prompt": "p2"}
    assert kept(places, record).state == "promoted"
    by_hand.rollback(spec, places, record.rollout_id, "ann", "complaints", LATER)
    assert now_serves(places) == {"policy": "old", "adapter": "a1", "prompt": "p1"}
    head = places.deployments.head(LOOP)
    assert head.deployment_id == before.deployment_id
    served = places.deployments.deployment(head.deployment_id)
    assert served.artefacts == before.artefacts
    assert places.deployments.deployment(record.deployment_id).outcome == "withdrawn"
    assert standing_verdict(spec, places, record.deployment_id, LATER).decision is Decision.ROLLBACK


def test_a_voice_that_harms_leaves_and_what_serves_stays(places: Places) -> None:
    speaks(places, "a1", "p1")
    record = voice(places)
    counted(places, record, invalid=1)
    act(OPEN, places, NOW)
    assert kept(places, record).state == "rolled_back"
    assert now_serves(places) == {"policy": "old", "adapter": "a1", "prompt": "p1"}
    assert places.candidate() is None


def test_a_voice_that_gives_no_answer_is_rolled_back(places: Places) -> None:
    speaks(places, "a1")
    record = voice(places, prompt=None)
    counted(places, record, asked=500, failed=400)
    act(OPEN, places, NOW)
    over = kept(places, record)
    assert over.state == "rolled_back"
    assert "gave no answer" in over.reasons[0]


def test_another_prompt_alone_is_a_trial_too(places: Places) -> None:
    speaks(places, "a1", "p1")
    record = voice(places, adapter="a1", prompt="p2")
    assert (record.subject, record.candidate, record.active) == ("prompt", "p2", "p1")
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "better", LATER)
    assert now_serves(places) == {"policy": "old", "adapter": "a1", "prompt": "p2"}


def test_the_same_adapter_with_another_prompt_is_another_trial(places: Places) -> None:
    speaks(places, "a1")
    one, other = voice(places, prompt="p1"), voice(places, prompt="p2")
    assert one.rollout_id != other.rollout_id
    assert voice(places, prompt="p1") == one


def test_the_first_voice_of_a_loop_has_the_base_as_its_control(places: Places) -> None:
    places.serve("old")
    record = voice(places)
    assert record.active is None
    verdict = act(OPEN, places, LATER, shown(record))
    assert verdict is not None
    assert any("No voice served" in alert for alert in verdict.alerts)
    assert now_serves(places) == {"policy": "old", "adapter": "a2", "prompt": "p2"}
    by_hand.rollback(OPEN, places, record.rollout_id, "ann", "complaints", LATER)
    assert now_serves(places) == {"policy": "old"}


def test_a_loop_without_a_policy_tries_a_voice_too(places: Places) -> None:
    record = voice(places)
    assert (record.subject, record.state) == ("adapter", "started")
    act(OPEN, places, LATER, shown(record))
    assert now_serves(places) == {"adapter": "a2", "prompt": "p2"}
    by_hand.rollback(OPEN, places, record.rollout_id, "ann", "complaints", LATER)
    assert now_serves(places) == {}


def test_a_policy_waits_for_a_voice_and_keeps_it(places: Places) -> None:
    speaks(places, "a1", "p1")
    tried = voice(places)
    waiting = policy(places)
    assert (waiting.state, waiting.subject) == ("waiting", "policy")
    act(OPEN, places, LATER, shown(tried))
    assert kept(places, tried).state == "promoted"
    begun = kept(places, waiting)
    assert begun.state == "started"
    assert begun.previous_deployment == tried.deployment_id
    beside = places.deployments.deployment(begun.deployment_id)
    assert {p.role: p.artefact_id for p in beside.artefacts} == {
        "policy": "one",
        "adapter": "a2",
        "prompt": "p2",
    }
    assert beside.verdict == GO
    by_hand.promote(OPEN, places, begun.rollout_id, "ann", "better", LATER)
    assert now_serves(places) == {"policy": "one", "adapter": "a2", "prompt": "p2"}


def test_a_voice_waits_for_a_policy_and_keeps_it(places: Places) -> None:
    speaks(places, "a1", "p1")
    tried = policy(places)
    waiting = voice(places)
    assert (waiting.state, waiting.subject, waiting.active) == ("waiting", "adapter", "a1")
    counted(places, tried)
    act(OPEN, places, LATER, shown(tried))
    assert now_serves(places)["policy"] == "one"
    begun = kept(places, waiting)
    assert (begun.state, begun.active) == ("started", "a1")
    by_hand.promote(OPEN, places, begun.rollout_id, "ann", "better", LATER)
    assert now_serves(places) == {"policy": "one", "adapter": "a2", "prompt": "p2"}


def test_taking_back_one_leaves_the_other(places: Places) -> None:
    speaks(places, "a1", "p1")
    spoken = voice(places)
    by_hand.promote(OPEN, places, spoken.rollout_id, "ann", "better", LATER)
    decided = policy(places, now=LATER)
    by_hand.promote(OPEN, places, decided.rollout_id, "ann", "better", LATER)
    assert now_serves(places) == {"policy": "one", "adapter": "a2", "prompt": "p2"}
    by_hand.rollback(OPEN, places, spoken.rollout_id, "ann", "complaints", LATER)
    assert now_serves(places) == {"policy": "one", "adapter": "a1", "prompt": "p1"}
    by_hand.rollback(OPEN, places, decided.rollout_id, "ann", "complaints", LATER)
    assert now_serves(places) == {"policy": "old", "adapter": "a1", "prompt": "p1"}


def test_whoever_waited_longer_goes_first(places: Places) -> None:
    for name in ("night1", "night2"):
        places.checkpoint(name)
    speaks(places, "a1", "p1")
    tried = policy(places)
    first = policy(places, "night1", NOW + timedelta(hours=1))
    spoken = voice(places, now=NOW + timedelta(hours=2))
    second = policy(places, "night2", NOW + timedelta(hours=3))
    by_hand.end(OPEN, places, tried.rollout_id, "ann", "enough", LATER)
    assert kept(places, spoken).state == "started", "a newer policy does not take its turn"
    assert [kept(places, each).state for each in (first, second)] == ["waiting", "waiting"]
    by_hand.end(OPEN, places, spoken.rollout_id, "ann", "enough", LATER)
    assert kept(places, second).state == "started"
    assert kept(places, first).reasons[0] == NEWER


def test_a_voice_that_was_compared_with_another_ends(places: Places) -> None:
    speaks(places, "a1", "p1")
    tried = voice(places)
    outdated = voice(places, adapter="a3", now=NOW + timedelta(hours=1))
    act(OPEN, places, LATER, shown(tried))
    assert now_serves(places)["adapter"] == "a2"
    over = kept(places, outdated)
    assert (over.state, over.reasons[0]) == ("ended", OUTDATED)
    assert needs_a_new_look(places, LOOP, "default") is None


def test_a_voice_deployed_by_hand_ends_the_trial_of_another(places: Places) -> None:
    speaks(places, "a1", "p1")
    record = voice(places)
    promote("a3", places.registry, places.blobs, places.deployments, "by hand")
    act(OPEN, places, LATER)
    assert kept(places, record).state == "ended"
    assert now_serves(places) == {"policy": "old", "adapter": "a3", "prompt": "p1"}


@pytest.mark.parametrize("kind", ["adapter", "prompt"])
def test_what_the_raw_log_made_never_speaks(places: Places, kind: str) -> None:
    speaks(places, "a1", "p1")
    raw = places.checkpoint("raw-voice", model_type=ModelType(kind), provenance=Provenance.RAW_LOG)
    names = {"adapter": "a2", "prompt": "p2"} | {kind: raw.checkpoint_id}
    record = voice(places, names["adapter"], names["prompt"])
    assert record.state == "refused"
    assert "raw log" in record.reasons[0]
    with pytest.raises(ShouldFixArgument, match="may not leave"):
        promote(raw.checkpoint_id, places.registry, places.blobs, places.deployments, "x")


def test_consented_text_never_decides(places: Places) -> None:
    speaks(places, "a1", "p1")
    places.checkpoint("texts", **SPOKEN)
    record = policy(places, "texts")
    assert record.state == "refused"
    assert "consented text" in record.reasons[0]
    with pytest.raises(ShouldFixArgument, match="may not leave"):
        promote("texts", places.registry, places.blobs, places.deployments, "x")


def test_what_the_gate_held_meets_nobody(places: Places) -> None:
    speaks(places, "a1", "p1")
    assert voice(places, verdict=HOLD).state == "refused"
    assert voice(places, verdict=None).state == "refused"


def test_a_damaged_voice_is_not_promoted(places: Places) -> None:
    speaks(places, "a1", "p1")
    record = voice(places)
    url = places.registry.checkpoint("p2").weights_url
    digest = places.registry.checkpoint("p2").weights_sha256
    path = places.blobs.fetch(url, digest)
    path.chmod(0o644)
    path.write_bytes(b"another")
    verdict = act(OPEN, places, LATER, shown(record))
    assert verdict is not None
    assert verdict.decision is Decision.HOLD
    assert "prompt cannot be read" in verdict.reasons[0]
    with pytest.raises(ShouldFixArgument, match="prompt cannot be read"):
        by_hand.promote(OPEN, places, record.rollout_id, "ann", "anyway", LATER)
    assert now_serves(places)["prompt"] == "p1"


def test_the_same_voice_under_another_name_waits_for_a_person(places: Places) -> None:
    speaks(places, "a1", "p1")
    tried = voice(places)
    by_hand.rollback(OPEN, places, tried.rollout_id, "ann", "complaints", LATER)
    row = places.registry.checkpoint("a2")
    again = replace(row, checkpoint_id="again", lineage={"version": "v-again"})
    places.registry.register(again)
    record = voice(places, adapter="again", now=LATER)
    assert record.state == "awaiting_approval"
    assert "The same voice was rolled back" in record.reasons[0]
    assert voice(places, adapter="again", prompt="p1", now=LATER).state == "started"


def test_a_voice_must_be_of_the_loop(places: Places) -> None:
    speaks(places, "a1", "p1")
    places.checkpoint("stray", model_type=ModelType.PROMPT, loop="other", **SPOKEN)
    stray = places.registry.checkpoint("stray")
    row = places.registry.checkpoint("a2")
    with pytest.raises(ShouldFixArgument, match="make no deployment"):
        voice_candidate_of(row, stray, None, NOW)
    with pytest.raises(ShouldFixArgument, match="not 'adapter'"):
        voice_candidate_of(stray, None, None, NOW)
    with pytest.raises(ShouldFixArgument):
        voice_candidate_of(None, None, None, NOW)
    made = voice_candidate_of(row, None, None, NOW, GO)
    ghost = replace(made, artefacts=(replace(made.artefacts[0], artefact_id="ghost"),))
    with pytest.raises(ShouldRestoreArtefact):
        start_rollout(SPEC, ghost, places, NOW)


def test_a_nights_policy_keeps_the_voice_whatever_encodes_its_states(places: Places) -> None:
    places.checkpoint("spoken", model_type=ModelType.ADAPTER, lineage={"encoder": "x"}, **SPOKEN)
    serving = speaks(places, "spoken", "p1")
    row = places.checkpoint("tonight", lineage={"version": "v", "encoder": "tonight's"})
    made = candidate_of(row, places.registry, serving, NOW)
    assert {p.role: p.artefact_id for p in made.artefacts} == {
        "policy": "tonight",
        "adapter": "spoken",
        "prompt": "p1",
    }


def test_who_takes_back_what_serves_finds_the_voice(places: Places) -> None:
    speaks(places, "a1", "p1")
    record = voice(places)
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "better", LATER)
    found = sdk_rollouts._live_or_serving(places, LOOP, "default")  # type: ignore[arg-type]
    assert found is not None
    assert found.rollout_id == record.rollout_id
