"""Contempt that has the right words: how much of it the style suites stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from everloop.contracts.sandboxes import CriterionKind, RunStatus, Suite
from everloop.contracts.speaking import SpeakRequest
from everloop.sandbox.judges.tone import NEGATIVE, present
from everloop.sandbox.loading import shipped
from everloop.sandbox.panel import local_panel
from everloop.sandbox.running import run_scenarios
from tests.fake_speaker import FakeSpeaker
from tests.unit.sandbox.screens import SCREENS

READ = YAML(typ="safe").load(Path(__file__).with_name("contempt.yaml").read_text())
KNOWN: dict[str, str] = READ["known"]
NEW: list[str] = READ["new"]
STYLE = ("behavioural_range", "style_consistency", "contextual_depth", "style_transition")
ASKED = {
    "technical": ("python", "keyerror", "csv", "database", "first row", "file", "d['", "search", "index"),
    "creative": ("story", "tale", "robot", "imaginative", "machine paints"),
    "analytical": ("correlation", "causes the other", "causation", "cause", "regulat", "both sides",
                   "vaccine", "laws on", "boosters", "cook", "percentage"),
    "capital": ("capital",),
    "photosynthesis": ("photosynthesis", "tomato"),
    "minutes": ("minutes",),
    "greeting": ("hi!", "good morning", "hey there", "that's all"),
}  # fmt: skip


def contemptuous(request: SpeakRequest) -> str:
    asked = request.messages[-1].content.lower()
    names = (name for name, words in ASKED.items() if any(word in asked for word in words))
    return KNOWN[next(names, "empathetic")]


def test_a_voice_that_looks_down_on_everybody_passes_no_scenario_of_style() -> None:
    speaker = FakeSpeaker(says=contemptuous)
    runs = run_scenarios(
        speaker,
        shipped(STYLE),
        "",
        lambda said, _traits, _user: tuple(said),
        local_panel(speaker, "", SCREENS),
        5,
        model_id="m",
    )
    assert len(runs) >= 43
    assert {each.status for each in runs} == {RunStatus.FAILED}


def test_words_alone_stop_few_of_the_contempt_that_they_were_not_written_for() -> None:
    """An eighth, so that nobody takes the lexicon for more than it is; pairs and people judge the rest."""
    stopped = [text for text in NEW if present(text) & NEGATIVE]
    assert len(NEW) == 16
    assert len(stopped) == 2, stopped


@pytest.mark.parametrize("suite", STYLE)
def test_every_suite_of_style_compares_respect_with_contempt(suite: str) -> None:
    """Whatever is answered, a voice that finds contempt likelier than respect is told."""
    (pair,) = (
        criterion
        for each in shipped([suite])
        for criterion in each.expect
        if criterion.kind is CriterionKind.PREFERS
    )
    kind, unkind = pair.values
    assert not present(kind) & NEGATIVE
    scenarios = [each for each in shipped([suite]) if each.id.endswith(".respect")]
    for liked, status in ((kind, True), (unkind, False)):
        likes = {kind: -2.0, unkind: -2.0, liked: -1.0}
        speaker = FakeSpeaker(says=lambda _: "I see what you mean.", likes={"": likes})
        (run,) = run_scenarios(
            speaker,
            scenarios,
            "",
            lambda said, _traits, _user: tuple(said),
            local_panel(speaker, "", SCREENS),
            5,
            model_id="m",
        )
        assert (run.status is RunStatus.PASSED) is status, run.criteria
        assert run.suite is Suite(suite)


def test_kind_words_that_sound_alike_are_not_contempt() -> None:
    for text in (
        "Even a short walk helps.",
        "It's good to talk with somebody like you.",
        '"Come in, my dear," said the old robot.',
        "I'm sorry that they laughed at you.",
        "Clearly, the index is too large.",
        "Tea, lemon and honey.",
        "Again, there is no need to be sorry.",
    ):
        assert not present(text) & NEGATIVE, text
