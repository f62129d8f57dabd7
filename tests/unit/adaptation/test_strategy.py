"""What a night does with what there is: a table made by hand, and what is counted for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from everloop.adaptation.strategy import choose
from everloop.adaptation.taught import taught_by
from everloop.adaptation.volume import volume_of
from everloop.contracts.feedback import (
    AIInterpretation,
    FeedbackInstance,
    FeedbackSource,
    FeedbackStatus,
    FeedbackType,
    InputType,
    Interaction,
    OutputType,
)
from everloop.contracts.voice_ports import SpokenFeedback
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SignalVolume,
    SourceType,
    Strategy,
    TrainingDataInstance,
    UserDataPackage,
    instance_id_of,
)

CASES: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("strategy_cases.yaml").read_text()
)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTHING: dict[str, Any] = {
    "trait_signals": 0,
    "praised": 0,
    "corrections": 0.0,
    "own_texts": 0.0,
    "pairs": 0.0,
    "thumbs_up": 0.0,
    "thumbs_down": 0.0,
    "corpus_rows": 0,
    "people": 0,
}


def voice(**more: Any) -> VoiceSpec:
    return VoiceSpec.model_validate(
        {
            "persona": "companion",
            "base": {"name": "tiny", "source": "nowhere", "license": "none"},
            "traits": [{"name": "formality", "low": "informal", "high": "formal"}],
            **more,
        }
    )


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_choices(case: dict[str, Any]) -> None:
    found = choose(voice(**case.get("set", {})), SignalVolume(**{**NOTHING, **case["there"]}))
    assert [each.value for each in found.chosen] == case["chosen"]
    assert set(found.reasons) == set(case["chosen"])
    assert set(found.reasons) | set(found.skipped) == {each.value for each in Strategy}
    assert set(found.reasons).isdisjoint(found.skipped)
    told = {**found.reasons, **found.skipped}
    for strategy, words in case.get("why", {}).items():
        assert words in told[strategy]
    assert all(reason.endswith(".") for reason in told.values())


def test_the_table_is_not_thin() -> None:
    assert len(CASES) >= 25
    assert {name for case in CASES for name in case["chosen"]} == {each.value for each in Strategy}


def spoken(
    kind: FeedbackType = FeedbackType.THUMB,
    value: float | None = 1.0,
    trait: str | None = None,
    adjustment: float = 0.0,
    **more: Any,
) -> SpokenFeedback:
    disputed = more.pop("disputed", False)
    source = more.pop("source", FeedbackSource.RATING)
    log_id = more.pop("log_id", str(uuid4()))
    said = FeedbackInstance(
        feedback_id=str(uuid4()),
        log_id=log_id,
        user_id=more.pop("user_id", "a" * 64),
        session_id="b" * 64,
        timestamp=NOW,
        feedback_type=kind,
        source=source,
        raw_value=True,
        value=True,
        interpretations=(AIInterpretation("x", trait, adjustment, value),),
        weight=1.0,
        confidence=1.0,
        quality=1.0,
        quality_reasons=(),
        status=more.pop("status", FeedbackStatus.ACCEPTED),
        agent_id="voice",
        task_type="chat",
        persona="companion",
        model_version="v",
        received_at=more.pop("received_at", NOW),
    )
    interaction = Interaction(
        *(log_id, said.user_id, said.session_id, NOW, InputType.USER_QUERY, "hi"),
        *(OutputType.TEXT, "hello", "voice", "chat", "companion", "v"),
    )
    return SpokenFeedback(said, interaction, disputed)


def instance(row: SpokenFeedback | UserDataPackage | None, task: str, **more: Any) -> Any:
    if row is None:
        source, kind, who = "own:1", SourceType.CORPUS, None
    elif isinstance(row, UserDataPackage):
        source, kind, who = row.package_id, SourceType.NEW_DATA, row.user_id
    else:
        source, kind, who = row.feedback.feedback_id, SourceType.FEEDBACK, row.feedback.user_id
    learning, prompt = LearningTask(task), (Message("user", "hi"),)
    return TrainingDataInstance(
        instance_id=instance_id_of("default", learning, prompt, "yes", None, None, (source,)),
        source_type=kind,
        source_ids=(source,),
        task=learning,
        prompt=prompt,
        completion="yes",
        user_id=who,
        **more,
    )


def package(**more: Any) -> UserDataPackage:
    return UserDataPackage(str(uuid4()), "c" * 64, NOW, "chat", texts=("mine",), **more)


def test_what_was_not_learned_is_counted_by_its_weight() -> None:
    correction = spoken(FeedbackType.CORRECTION, value=-0.5)
    thumb = spoken(user_id="d" * 64)
    complaint = spoken(
        FeedbackType.CATEGORICAL_CHOICE, value=-0.5, trait="formality", adjustment=-0.2
    )
    given = package()
    found = volume_of(
        [
            instance(correction, "sft", weight=0.75),
            instance(correction, "sft", weight=0.5, augmented="synonyms", parent="x"),
            instance(correction, "preference", weight=0.75, rejected="no"),
            instance(thumb, "thumb", weight=0.5, liked=True),
            instance(complaint, "thumb", weight=0.25, liked=False),
            instance(given, "sft", weight=0.5),
            instance(None, "sft"),
        ],
        [correction, thumb, complaint],
        [given],
        None,
        golden_drop=0.02,
        forgets=1,
    )
    assert found == SignalVolume(
        trait_signals=1,
        praised=2,
        corrections=0.75,
        own_texts=0.5,
        pairs=0.75,
        thumbs_up=0.5,
        thumbs_down=0.25,
        corpus_rows=1,
        people=3,
        golden_drop=0.02,
        forgets=1,
    )


def test_what_was_learned_counts_no_more() -> None:
    old = spoken(FeedbackType.CORRECTION, received_at=NOW)
    late = spoken(FeedbackType.CORRECTION, received_at=NOW + timedelta(seconds=1))
    mine = package(received_at=NOW)
    rows = [instance(each, "sft") for each in (old, late, mine, None)]
    taught = taught_by([rows[0], rows[2]])
    found = volume_of(rows, [old, late], [mine], NOW, taught=taught)
    assert (found.corrections, found.own_texts, found.corpus_rows) == (1.0, 0.0, 0)
    assert (found.praised, found.people) == (1, 1)


def test_what_was_released_late_or_taught_otherwise_is_new() -> None:
    """Sixty corrections of which no version learned more than the pairs, whatever the clock says."""
    rows = [spoken(FeedbackType.CORRECTION, status=FeedbackStatus.RELEASED) for _ in range(60)]
    made = [instance(row, "sft") for row in rows]
    pairs = [instance(row, "preference", rejected="no") for row in rows]
    later = NOW + timedelta(days=1)
    found = volume_of([*made, *pairs], rows, [], later, taught=taught_by(pairs))
    assert (found.corrections, found.pairs, found.people) == (60.0, 0.0, 1)


def test_what_was_fit_and_not_drawn_counts() -> None:
    row = spoken(FeedbackType.CORRECTION)
    left = {"corrections": 29.5, "up": 3.0}
    found = volume_of([instance(row, "sft")], [row], [], None, undrawn=left)
    assert (found.corrections, found.thumbs_up) == (30.5, 3.0)


@pytest.mark.parametrize("status", ["quarantined", "rejected"])
def test_what_does_not_teach_or_is_disputed_counts_nothing(status: str) -> None:
    held = spoken(FeedbackType.CORRECTION, status=FeedbackStatus(status))
    disputed = spoken(FeedbackType.CORRECTION, disputed=True)
    found = volume_of([], [held, disputed], [], None)
    assert (found.corrections, found.praised, found.people) == (0.0, 0, 0)


def test_people_who_contradict_themselves_are_counted() -> None:
    both_ways = [spoken(trait="formality", adjustment=a, value=None) for a in (0.2, -0.2)]
    log_id = str(uuid4())
    torn = [spoken(value=v, log_id=log_id, user_id="e" * 64) for v in (1.0, -1.0)]
    steady = [spoken(value=v, user_id="f" * 64) for v in (1.0, -1.0)]
    hints = [
        spoken(value=v, log_id=log_id, user_id="g" * 64, source=FeedbackSource.IMPLICIT)
        for v in (0.4, -0.4)
    ]
    found = volume_of([], [*both_ways, *torn, *steady, *hints], [], None)
    assert found.contradictory_people == 2


def test_forty_corrections_of_somebody_believed_less_do_not_reach_the_bar() -> None:
    rows = [spoken(FeedbackType.CORRECTION) for _ in range(40)]
    for weight, chosen in ((0.4, False), (0.8, True)):
        made = [instance(row, "sft", weight=weight) for row in rows]
        found = choose(voice(), volume_of(made, rows, [], None))
        assert (Strategy.SFT in found.chosen) is chosen
    none = volume_of([], rows, [], NOW)
    assert choose(voice(), none).chosen == ()
