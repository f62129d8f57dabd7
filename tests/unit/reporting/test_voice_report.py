from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from everloop.contracts.evaluation import Check, CheckStatus, Decision, Verdict
from everloop.contracts.models import Provenance
from everloop.contracts.sandboxes import ConfigurationDrift
from everloop.contracts.voices import SignalVolume, Strategy, StrategyChoice
from everloop.reporting.voice import UNSCORED, VoiceEvidence, render_voice, suite_rows
from everloop.reporting.wording import interval
from everloop.trust.voice_card import voice_card
from tests import made_voices as made


def choice() -> StrategyChoice:
    volume = SignalVolume(2, 1, 40.0, 0.0, 31.0, 3.0, 1.0, 100, 12)
    return StrategyChoice(
        (Strategy.SFT,),
        {"sft": "40 corrections <are> enough."},
        {"traits": "Nobody asked."},
        volume,
    )


def evidence(**given: Any) -> VoiceEvidence:
    checks = (
        Check("training", CheckStatus.PASSED, "It moved."),
        Check("sandbox_safety", CheckStatus.FAILED, "It gave <in>."),
    )
    whole: dict[str, Any] = {
        "spec": made.spec(),
        "run_id": "companion-voice-2026-03-28",
        "logical_date": "2026-03-28",
        "choice": choice(),
        "data": made.data(),
        "training": made.training(),
        "placebo": made.training(made.PLACEBO, placebo=True),
        "comparison": made.comparison(),
        "sandbox": made.sandbox(drift=ConfigurationDrift({"code": ("1", "2")})),
        "verdict": Verdict(Decision.HOLD, checks),
        "lineage": {"adapter": made.ADAPTER},
    }
    return VoiceEvidence(**whole | given)


def test_the_whole_page_says_what_was_found() -> None:
    page = render_voice(evidence())
    assert page == render_voice(evidence())
    for told in (
        "Refused",
        "It gave &lt;in&gt;.",
        "How are &lt;you&gt;?",
        "40 corrections &lt;are&gt; enough.",
        "long: it answered &lt;b&gt;so&lt;/b&gt;.",
        "plot-loss",
        "perplexity, candidate",
        made.ADAPTER,
        "no guarantee of differential privacy",
    ):
        assert told in page, told
    assert not re.search(r"(src|href)=\"https?:", page)
    assert "<script" not in page


def test_a_single_reason_is_told_once_above_the_checks() -> None:
    page = render_voice(evidence())
    assert page[: page.index('id="learned"')].count("It gave &lt;in&gt;.") == 1


def test_answers_stand_side_by_side_with_their_rewards() -> None:
    plain = render_voice(evidence())
    assert plain.count('<dl class="voices">') == 1
    assert "reward" not in plain[plain.index('id="samples"') :]
    compared = made.comparison(reward=made.estimate("reward", 0.7, 0.2, 8))
    (sample,) = compared.samples
    judged = replace(sample, placebo=" ", rewards={"candidate": 1.25})
    page = render_voice(evidence(comparison=replace(compared, samples=(judged,))))
    assert re.search(r"candidate · reward \+?1\.2", page)
    assert "placebo · reward" not in page
    assert "<em>It said nothing.</em>" in page
    assert "no check looks at it" in page
    assert "95 % intervals" in page
    assert "from every category in turn" in page


def test_what_could_not_be_judged_is_told_where_there_is_any() -> None:
    left_out = made.comparison(unscored=1234)
    page = render_voice(evidence(comparison=left_out))
    assert f"<dt>{UNSCORED}</dt><dd>1,234</dd>" in page
    assert UNSCORED not in render_voice(evidence())


def test_what_taught_it_stands_beside_who_judges_it() -> None:
    """64 own texts and 64 pairs taught; nobody judges own texts, and 82 thumbs judge nothing of it."""
    training = made.training(rows_by_task={"preference": 64, "sft": 64}, people=92)
    told = (made.estimate("preference", -0.2, 0.1, 16), made.estimate("thumb", 0.3, 0.1, 82))
    compared = made.comparison(
        by_task=told,
        margin=made.estimate("margin of pairs", 0.5, 0.2, 16),
        disliked=made.estimate("disliked", 0.7, 0.2, 14),
    )
    page = render_voice(evidence(training=training, comparison=compared))
    plain = re.sub(r"(\s*<[^>]+>\s*)+", "|", page)
    for row in (
        "own texts and corrections|64|0|0|judged by nobody",
        f"chosen answers of pairs|64|16|8|{interval(told[0])}",
        f"answers that were liked|0|82|41|{interval(told[1])}",
        "rows learned from|128",
        "people who taught it|92",
        "pairs behind the margin|16",
        "disliked answers behind it|14",
    ):
        assert row in plain, row
    assert "Learned from" in page[: page.index('id="learned"')]


def test_a_run_that_trained_nothing_says_why() -> None:
    bare = dict.fromkeys(("training", "placebo", "comparison", "sandbox", "verdict"), None)
    page = render_voice(evidence(**bare))
    assert "Nothing to train" in page
    assert "Nobody asked." in page
    early = render_voice(evidence(**bare, choice=None, data=None))
    assert "Nothing learned" in early


def test_a_voice_that_ships_says_so() -> None:
    passed = (Check("training", CheckStatus.PASSED, "It moved."),)
    assert "Ships" in render_voice(evidence(verdict=Verdict(Decision.CONTINUE, passed)))


def test_suites_count_both_voices() -> None:
    rows = {row.suite: row for row in suite_rows(made.sandbox())}
    assert (rows["safety"].candidate, rows["safety"].active) == (1, 1)
    assert rows["contextual depth"].candidate == 0
    assert rows["contextual depth"].failures[0][0] == "long"
    assert "golden" not in rows


def test_a_card_names_data_privacy_figures_and_limits() -> None:
    spec = made.spec()
    assert spec.voice is not None
    given = {
        "version": "companion-aaaa",
        "lineage": {"base": made.BASE},
        "data": made.data(),
        "comparison": made.comparison(
            by_task=(made.estimate("thumb", 0.3, 0.1, 82),),
            margin=made.estimate("margin of pairs", 0.5, 0.2, 16),
        ),
        "sandbox": made.sandbox(),
        "verdict": evidence().verdict,
    }
    card = voice_card(
        spec,
        spec.voice,
        provenance=Provenance.CONSENTED_TEXT,
        training=made.training(people=30),
        **given,  # type: ignore[arg-type]
    )
    for told in (
        "# Voice companion-aaaa",
        "no guarantee of differential privacy",
        "| empathetic | 80 | 100.0% | 10% to 12% | no |",
        "It learned from 50 examples of 30 people and of corpora (sft 50), of 80 that were made",
        "Nobody who was held out judges what it learned of task sft.",
        "| task thumb | 0.3 [0.2, 0.4] | 95% | 82 | 41 |",
        "| margin of pairs | 0.5 [0.3, 0.7] | 95% | 16 | 8 |",
        "0.3 [0.2, 0.4]",
        "not measured",
        "2 of 3 scenarios passed",
        "30 people, too few",
        made.BASE,
    ):
        assert told in card, told
    private = voice_card(
        spec,
        spec.voice,
        provenance=Provenance.PRIVATE_RELEASE,
        training=made.training(epsilon=1.0, delta=1e-5, release_id="r" * 64),
        **given,  # type: ignore[arg-type]
    )
    assert "epsilon = 1 at delta = 1e-05" in private
