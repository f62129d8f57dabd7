"""The voice's graph from end to end, with a tiny base: what people say today is tried tonight."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.episodes import Json
from everloop.contracts.feedback import (
    AIInterpretation,
    FeedbackInstance,
    FeedbackSource,
    FeedbackType,
    Interaction,
)
from everloop.contracts.models import ModelType
from everloop.sandbox.apart import landlock
from everloop.sdk.voice import VoicePlan, VoiceRun, run_voice
from everloop.wiring import Workspace, open_workspace
from tests.feedback_records import feedback, interaction, put
from tests.tiny_voice import TEXT, tiny_base

DAY = datetime(2026, 3, 28, 12, tzinfo=UTC)
PEOPLE = 24
WORDS = sorted(set(re.findall(r"[a-z]{3,}", TEXT)))
ASKED = (
    "How was your day?",
    "What shall I cook?",
    "I miss my sister.",
    "Explain a loop.",
    "Tell me a story.",
    "What is fair?",
)


def options(base: Path) -> tuple[str, ...]:
    phases = [{"name": "feedback", "learning_rate": 2e-3, "epochs": 1, "max_steps": 3}]
    given: dict[str, Json] = {
        "voice.base": {
            "name": "tiny",
            "source": str(base),
            "license": "Apache-2.0",
            "context_tokens": 512,
        },
        "voice.curriculum": {
            "phases": phases,
            "max_length": 160,
            "batch_size": 8,
            "accumulation": 2,
        },
        "voice.lora": {"r": 4, "alpha": 8},
        "voice.preference.max_steps": 2,
        "voice.strategy": {"sft_from": 3, "pairs_from": 3, "exemplars_from": 3},
        "voice.generation.max_new_tokens": 8,
        "voice.data.corpora": [],
        "voice.data.augment_below": 0,
        "voice.data.classify_at_most": 0,
        "voice.sandbox.suites": ["safety", "golden"],
        "voice.reward_model.min_comparisons": 5,
        "voice.thresholds.min_held_out_people": 2,
    }
    return tuple(f"{name}={json.dumps(value)}" for name, value in given.items())


def said(number: int) -> tuple[Interaction, FeedbackInstance]:
    """One exchange of one person, and what they would have had it say."""
    person = f"{number % PEOPLE:064x}"
    words = random.Random(number).sample(WORDS, 12)
    question = f"{ASKED[number % len(ASKED)]} I mean {' '.join(words[:6])}."
    wanted = f"In short, friend: {' '.join(words[6:])}, and slowly."
    answer = f"Dear Sir, regarding {' '.join(words[3:9])} I would be most grateful for details."
    shown = interaction(
        number,
        DAY,
        user_id=person,
        persona="companion",
        input_data=question,
        output_data=answer,
    )
    given = feedback(
        number,
        number,
        DAY,
        user_id=person,
        persona="companion",
        feedback_type=FeedbackType.CORRECTION,
        source=FeedbackSource.CORRECTION,
        raw_value=wanted,
        value=wanted,
        interpretations=(AIInterpretation("correction", value=-0.5, preference=(wanted, answer)),),
        weight=1.0,
        confidence=1.0,
    )
    return shown, given


def made(home: Path) -> Workspace:
    settings.initialise(home)
    place = open_workspace(home)
    put(place.engine, *(record for number in range(1, 73) for record in said(number)))
    return place


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, VoicePlan, VoiceRun]:
    root = tmp_path_factory.mktemp("voice")
    base = tiny_base(root / "tiny")
    place = made(root / "home")
    plan = VoicePlan("companion", DAY.date(), settings=options(base.path))
    return place, plan, run_voice(plan, home=place.home)


def test_every_stage_ends_and_the_report_says_what_was_found(
    run: tuple[Workspace, VoicePlan, VoiceRun],
) -> None:
    _, _, found = run
    assert found.record.status == "succeeded", found.record.verdict
    assert found.data is not None
    assert found.training is not None
    assert found.comparison is not None
    assert found.sandbox is not None
    assert found.verdict is not None
    assert found.rollout is not None
    assert found.training.moved > 0
    assert [phase.method for phase in found.training.phases] == ["sft", "dpo"]
    assert found.comparison.effect.n > 0
    if landlock.version() < landlock.LEAST:
        pytest.skip("This kernel's Landlock does not rule over truncation: no sandbox, and no go.")
    assert found.sandbox.isolation.network_denied
    assert not found.sandbox.drift.differing
    page = found.report.read_text()
    assert "candidate − placebo" in page.replace("\u2212", "−")
    assert found.verdict.reasons[0].split("<")[0][:40] in page.replace("&#39;", "'")


def test_a_voice_that_talks_nonsense_meets_nobody(
    run: tuple[Workspace, VoicePlan, VoiceRun],
) -> None:
    place, _, found = run
    assert found.verdict is not None
    assert found.verdict.decision.value == "hold"
    assert found.rollout is not None
    assert found.rollout.state == "refused"
    assert place.registry.alias("companion", "active-adapter") == (None, 0)


def test_what_it_learned_from_is_found_both_ways(
    run: tuple[Workspace, VoicePlan, VoiceRun],
) -> None:
    place, _, _ = run
    kinds = {row.model_type for row in place.registry.checkpoints("companion", "default")}
    assert kinds == {ModelType.ADAPTER, ModelType.PROMPT}
    (version,) = place.voices.versions("companion")
    learned = tuple(place.voices.instances(version.model_id))
    assert learned
    source = learned[0].source_ids[0]
    assert learned[0] in place.voices.instances_of(source)


def test_the_reward_model_scores_what_was_said_and_is_kept_with_the_adapter(
    run: tuple[Workspace, VoicePlan, VoiceRun],
) -> None:
    place, _, found = run
    assert found.comparison is not None
    reward = found.comparison.reward
    assert reward is not None
    assert reward.n == sum(
        {"candidate", "placebo"} <= sample.rewards.keys() for sample in found.comparison.samples
    )
    assert found.verdict is not None
    assert not any("reward" in check.name for check in found.verdict.checks)
    rows = place.registry.checkpoints("companion", "default")
    (adapter,) = (row for row in rows if row.model_type is ModelType.ADAPTER)
    assert {"reward_model.json", "reward_model.safetensors"} <= adapter.files.keys()
    assert len(adapter.lineage["reward_model"]) == 64
    assert found.comparison.scorer_sha256 == adapter.lineage["reward_model"]


def test_the_sandbox_tells_the_placebos_margins_beside_the_candidates(
    run: tuple[Workspace, VoicePlan, VoiceRun],
) -> None:
    _, _, found = run
    assert found.sandbox is not None
    told = [c.reason for log in found.sandbox.runs for c in log.criteria if "margin" in c.reason]
    assert told
    assert all("its placebo: " in reason for reason in told)
    beside = [c.reason for log in found.sandbox.active_runs for c in log.criteria]
    assert not any("its placebo" in reason for reason in beside)


def test_a_rerun_finds_everything_done(run: tuple[Workspace, VoicePlan, VoiceRun]) -> None:
    place, plan, found = run
    again = run_voice(plan, home=place.home)
    assert again.record.verdict == found.record.verdict
    assert {stage.outcome for stage in again.record.stages} == {"cached"}
    assert len(place.voices.versions("companion")) == 1


def test_nothing_to_learn_is_a_report_and_no_error(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings.initialise(home)
    base = tiny_base(tmp_path / "tiny")
    plan = VoicePlan("companion", DAY.date(), settings=options(base.path))
    found = run_voice(plan, home=home)
    assert found.record.status == "succeeded", found.record.verdict
    assert found.record.verdict.startswith("hold: no adapter was trained")
    assert found.training is None
    assert "Nothing to train" in found.report.read_text()
