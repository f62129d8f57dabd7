"""The page as a reader and a browser get it."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Estimate, Verdict
from everloop.contracts.feedback import TrustFigures
from everloop.contracts.figures import HeadFigures
from everloop.contracts.models import Provenance
from everloop.reporting import SECTIONS, RunEvidence, render, section_page, stage_page
from everloop.reporting.plots import bars
from everloop.reporting.success import unmeasured
from everloop.reporting.svg import Caption
from tests.unit.reporting.conftest import sha

VOID = {"meta", "link", "br", "hr", "img", "input"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&"


class Page(HTMLParser):
    """A page's ids, links, tags and the text a reader sees, section by section."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.sections: dict[str, str] = {}
        self.text = ""
        self._open: list[str] = []
        self._section = ""
        self.feed(markup)
        self.close()
        assert self._open == [], f"unclosed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        self.tags.append((tag, given))
        if "id" in given:
            self.ids.append(given["id"])
        for name in ("href", "src"):
            if name in given:
                self.links.append(given[name])
        if tag == "section":
            self._section = given["id"]
            self.sections[self._section] = ""
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            return
        self.text += f" {data}"
        if self._section:
            self.sections[self._section] += f" {data}"


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\u00a0", " "))


@pytest.fixture(params=["full", "sparse", "ended"])
def evidence(request: pytest.FixtureRequest) -> RunEvidence:
    found: RunEvidence = request.getfixturevalue(request.param)
    return found


def test_every_section_is_there_in_order_and_says_something(evidence: RunEvidence) -> None:
    page = Page(render(evidence))
    assert list(page.sections) == [section.ident for section in SECTIONS]
    for text in page.sections.values():
        assert len(plain(text)) > 30


def test_the_page_is_whole_without_a_network(evidence: RunEvidence) -> None:
    markup = render(evidence)
    page = Page(markup)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"https?://|url\(|@import|<script|javascript:", markup)
    assert not any(name.startswith("on") for _, given in page.tags for name in given)
    policy = next(g["content"] for t, g in page.tags if g.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_the_page_suits_phones_dark_rooms_and_paper(evidence: RunEvidence) -> None:
    markup = render(evidence)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in markup
    assert "@media (prefers-color-scheme: dark)" in markup
    assert "@media print" in markup
    assert "@media (max-width: 40rem)" in markup


def test_the_page_is_accessible(evidence: RunEvidence) -> None:
    page = Page(render(evidence))
    assert page.tags[0] == ("html", {"lang": "en"})
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == 1
    assert tags.count("main") == 1
    for tag, given in page.tags:
        if tag == "svg" and given.get("role") == "img" and "aria-labelledby" in given:
            assert all(ident in page.ids for ident in given["aria-labelledby"].split())
        if tag == "th":
            assert given.get("scope") in ("row", "col") or not given
    images = sum(1 for tag, given in page.tags if tag == "svg" and given.get("role") == "img")
    assert images <= tags.count("title") - 1


def test_the_same_evidence_gives_the_same_bytes(evidence: RunEvidence) -> None:
    assert render(evidence) == render(evidence)


NUMBERS = {
    "stages": ["14 stages in 48 s of compute", "21.9", "61,440 steps", "cached"],
    "data": ["9,962 episodes", "21,861 signals", "28 days", "12", "131", "3", "47", "88",
             "5 of 6 checks passed", "0.0125 to 0.91", "70 to 630"],
    "rewards": ["9,781 of 9,869 episodes", "0.213 [0.205, 0.222]", "n = 9,781 from 1,984 people",
                "74.1 %", "5,210", "3,877", "694", "17 (0.174 %)", "7,034 observed", "0.413",
                "32.5 %", "1,422", "more than 0.613", "0b9d-flagged-1", "77aa-flagged-2",
                "The 2 with the largest variance"],
    "privacy": ["0.0437", "0.532 of 1", "10⁻⁵", "327", "9", "gaussian: sigma 164, clip 1, steps 4",
                "1,984", "297", "0.0371", "0.000148", "32.6 %", "0.206 %", "67.4 %",
                "nothing spent tonight", "private releases alone"],
    "synthetic": ["297 parameters", "0.863", "0.113 [0.091, 0.134]", "0.571 [0.547, 0.595]",
                  "Every archetype appears."],
    "training": ["0.117 to 0.31", "61,440 steps", "0.3 to 0.05", "18.7 %", "0.0841", "8,123",
                 "19,528", "7"],
    "learners": ["LinTS goes on to the gate", "LinTS is better than PPO",
                 "cannot tell LinTS from greedy and doubly robust on the raw log",
                 "+0.031", "+0.082", "doubly robust on the raw log, report only",
                 "baseline: logging policy",
                 "would earn +0.011 [\N{MINUS SIGN}0.002, 0.025]", "cannot say that privacy costs",
                 "split over 4 candidates"],
    "evaluation": ["+0.071 [0.043, 0.099]", "0.291 [0.250, 0.332]", "0.302 [0.293, 0.311]",
                   "0.214 [0.202, 0.225]", "2,214", "1.01 [0.971, 1.05]", "8.41", "0.164 %",
                   "12.2 % → 24.2 %", "betting confidence sequence",
                   "better than logging policy"],
    "models": ["3 models of the night", "companion-pairing-5e1f", "companion-emotion-5e1f",
               "companion-7b1c", "0.741 [0.720, 0.762]", "n = 1,604 from 811 people",
               "always the more frequent answer: 0.623 [0.599, 0.647]", "pairing F1",
               "0.688", "0.703", "0.207 [0.199, 0.216]", "the best constant: 0.247",
               "0.1833 [0.1802, 0.1864]", "predicting no change: 0.1902",
               "+0.071 [0.043, 0.099]", "intervention acceptance, as served",
               "0.702 [0.687, 0.716]"],
    "fairness": ["age group: over 64", "0.267 [0.215, 0.319]", "0.197 [0.145, 0.249]",
                 "n = 485 from 94 people"],
    "gate": ["All 8 checks passed", "0.0431", "\N{MINUS SIGN}0.0268", "0.5", "0.961",
             "Every decision is explained.", "What the gate looked at", sha(21), sha(22)],
    "calibration": ["3 of 4 measured differences lay inside", "from 30% to 95%",
                    "companion-night-17", "deployment-17", "+0.050 [0.020, 0.080]",
                    "+0.041 [0.021, 0.061]", "\N{MINUS SIGN}0.021", "rolled back",
                    "Of 7 deployments the gate or a person let 5 through, 1 of them by a person's word, "
                    "and 1 was held. 1 was made by hand.",
                    "promoted 2", "rolled back 1", "ended without a winner 1",
                    "on trial, or not begun 1"],
    "explanations": ["3 of 5,012 explained decisions", "thumbs up", "0.46", "resonance 0.8",
                     "6f1c0a52-0000-4000-8000-000000000000", "slightly more in such states"],
    "success": ["64.1 % [61.7, 66.4]", "≥ 85 %", "missed", "0.207 [0.198, 0.215]", "≤ 0.15",
                "undecided", "reached", "0.60 % [0.34, 1.05]", "4 of 5 metrics",
                "no answers yet: nobody has answered the trust survey"],
    "attribution": ["The companion product's own logs.", "version 1"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("trust", "trusted", "opted_out"),
    [
        (
            TrustFigures(3, 5.0, 1.83, 5.0, 3, 0, 0.0, 0.0, 0.5615),
            "? undecided 3.5 ≥ 4.2 5.0 [1.8, 5.0], n = 3 newest answer of 3 people",
            "? undecided 2 % ≤ 2 % 0 % [0, 56], n = 3 0 of 3 people known",
        ),
        (
            TrustFigures(900, 4.5, 4.41, 4.57, 5000, 20, 0.004, 0.0026, 0.0062),
            "✓ reached 3.5 ≥ 4.2 4.50 [4.41, 4.57], n = 900",
            "✓ reached 2 % ≤ 2 % 0.40 % [0.26, 0.62], n = 5,000",
        ),
        (
            TrustFigures(900, 4.0, 3.91, 4.08, 5000, 150, 0.03, 0.0256, 0.0351),
            "✕ missed 3.5 ≥ 4.2 4.00 [3.91, 4.08], n = 900",
            "✕ missed 2 % ≤ 2 % 3.00 % [2.56, 3.51], n = 5,000",
        ),
        (
            TrustFigures(0, None, None, None, 0, 0, None, None, None),
            "\N{EN DASH} not measured 3.5 ≥ 4.2 no answers yet",
            "\N{EN DASH} not measured 2 % ≤ 2 % no people yet",
        ),
    ],
    ids=["few", "well", "badly", "nobody"],
)
def test_trust_stands_beside_its_target_and_few_people_prove_nothing(
    full: RunEvidence, trust: TrustFigures, trusted: str, opted_out: str
) -> None:
    figures = unmeasured(full.spec, "ended", trust)
    shown = plain(Page(render(replace(full, success=figures))).sections["success"])
    assert f"user trust score {trusted}" in shown
    assert f"opt out rate {opted_out}" in shown


def test_a_check_that_waits_for_a_person_says_so_and_how_to_decide(full: RunEvidence) -> None:
    few = Check("fairness", CheckStatus.INSUFFICIENT, "Few people.", 0.91, 0.9, person_decides=True)
    waits = Verdict(Decision.HOLD, (few, full.verdict.checks[0] if full.verdict else few))
    shown = plain(Page(render(replace(full, verdict=waits))).sections["gate"])
    assert "Hold: waits for a person" in shown
    assert "1 of 2 checks must be decided by a person" in shown
    assert "fairness ? insufficient waits for a person 0.91 0.9 Few people." in shown
    assert "everloop rollout approve" in shown
    blocked = Verdict(Decision.HOLD, (few, Check("anomalies", CheckStatus.FAILED, "Many.")))
    shown = plain(Page(render(replace(full, verdict=blocked))).sections["gate"])
    assert shown.count("waits for a person") == 1
    assert "everloop rollout approve" not in shown


def test_held_episodes_are_told_with_the_command_that_shows_them(full: RunEvidence) -> None:
    rewards = full.rewards
    assert rewards is not None
    held = replace(rewards, held=13, rejected=4, released=2, outliers=12)
    shown = plain(Page(render(replace(full, rewards=held))).sections["rewards"])
    assert "13 episodes taught nothing and judged nothing in this run" in shown
    assert "4 rejected by a person, 9 waiting for one" in shown
    assert f"everloop review list --loop {full.spec.name}" in shown
    assert "released 2 others" in shown
    nobody = replace(rewards, held=0, released=2)
    told = plain(Page(render(replace(full, rewards=nobody))).sections["rewards"])
    assert "everloop review list" not in told


def test_without_deployments_nothing_is_said_of_predictions(full: RunEvidence) -> None:
    shown = plain(Page(render(replace(full, deployments=()))).sections["calibration"])
    assert "No deployment is recorded yet" in shown
    assert "%" not in shown


def test_groups_are_said_to_be_shares_of_the_range(full: RunEvidence) -> None:
    shown = plain(Page(render(full)).sections["fairness"])
    assert shown.count("Share of the attainable range earned, by protected group") == 2
    assert "Value per decision" not in shown


def test_a_figure_without_rows_shows_no_evidence(full: RunEvidence) -> None:
    assert full.quality is not None
    nan = math.nan
    left = Estimate("remaining_epsilon", 0.87, nan, nan, 0.95, 0, 0, "what is left")
    told = replace(full, quality=replace(full.quality, estimates=(left,)))
    shown = plain(Page(render(told)).sections["synthetic"])
    assert "0.87" in shown
    assert "n = 0" not in shown


def test_a_releases_figures_are_in_words(full: RunEvidence) -> None:
    assert full.user_model is not None
    figures = {"warm_started": 0.0, "precision_in_first_fits": 1.5}
    told = replace(full, user_model=replace(full.user_model, metrics=figures))
    shown = plain(Page(render(told)).sections["synthetic"])
    assert "started from nothing learned before" in shown
    assert "1.5 times that of a first fit" in shown
    assert "warm started" not in shown


def test_a_warning_of_both_releases_is_given_once(full: RunEvidence) -> None:
    assert full.user_model is not None
    assert full.profiles is not None
    told = replace(
        full,
        user_model=replace(full.user_model, warnings=("No person ids.", "Few people.")),
        profiles=replace(full.profiles, warnings=("No person ids.",)),
    )
    shown = plain(Page(render(told)).sections["privacy"])
    assert shown.count("No person ids.") == 1
    assert shown.count("Few people.") == 1


def test_the_evaluation_says_how_many_held_out_decisions_are_used(full: RunEvidence) -> None:
    assert full.evaluation is not None

    def shown(**changes: int) -> str:
        told = replace(full, evaluation=replace(full.evaluation, **changes))
        return plain(Page(render(told)).sections["evaluation"])

    cut = shown(held_out=5313, candidates=3)
    assert "5,012 of 5,313 held-out decisions with a reward and a propensity are used" in cut
    assert "first few decisions" in cut
    assert "split over 3 candidates that were judged on these people" in cut
    assert "All 5,012 held-out decisions" in shown(held_out=5012)
    assert "are used" not in shown()
    assert "split over" not in shown()


def test_lineage_says_what_identity_covers(full: RunEvidence) -> None:
    shown = plain(Page(render(full)).sections["lineage"])
    assert "split over all candidates that were judged on the same held-out people" in shown


@pytest.mark.parametrize("section", NUMBERS)
def test_every_number_of_the_evidence_is_shown(full: RunEvidence, section: str) -> None:
    shown = plain(Page(render(full)).sections[section])
    shown = shown.replace("22 s", "21.9")
    for number in NUMBERS[section]:
        assert number in shown, f"{number} is not in {section}"


def test_lineage_shows_every_id_and_checksum(full: RunEvidence) -> None:
    shown = Page(render(full)).sections["lineage"]
    wanted = [full.run_id, full.spec.checksum, *full.lineage.values()]
    assert full.manifest is not None
    assert full.verdict is not None
    assert full.checkpoint is not None
    assert full.training is not None
    wanted += [full.manifest.dataset_id, *(f.sha256 for f in full.manifest.files)]
    wanted += [*full.verdict.inputs.values(), *full.checkpoint.files.values()]
    wanted += [*full.checkpoint.lineage.values(), full.checkpoint.checkpoint_id]
    wanted += [full.training.weights_sha256, *(n.release_id for _, n in full.releases), "roll-1f0c"]
    for value in wanted:
        assert value in shown


def test_lineage_repeats_nothing(full: RunEvidence) -> None:
    told = replace(full, lineage={"specification": full.spec.checksum})
    assert Page(render(told)).sections["lineage"].count(full.spec.checksum) == 1


def test_the_headline_says_the_verdict_and_the_reasons(sparse: RunEvidence) -> None:
    text = plain(Page(render(sparse)).text)
    assert "Hold: not enough evidence" in text
    assert "2 of 3 checks had not enough evidence: nothing changes in serving." in text
    assert "The effective sample of 148 is below 200." in text
    assert "No rollout was started: the gate holds for lack of evidence." in text
    assert "+0.0005" in text
    assert "19 held-out decisions earned a reward above 0." in text
    assert "[\N{MINUS SIGN}0.0051, 0.0058]" in text


def test_logs_without_people_are_named_as_such(sparse: RunEvidence, full: RunEvidence) -> None:
    page = Page(render(sparse))
    assert "each row is counted as a person of its own" in page.sections["attribution"]
    assert "each row counts as a person of its own" in page.sections["data"]
    assert "guarantee protects a row" in page.sections["privacy"]
    assert "Open Bandit Dataset" in page.sections["attribution"]
    assert "CC BY 4.0" in page.sections["attribution"]
    assert "person of its own" not in Page(render(full)).text


def test_missing_overlap_forbids_a_claim(full: RunEvidence, sparse: RunEvidence) -> None:
    assert full.evaluation is not None
    blind = replace(full.evaluation, overlap=replace(full.evaluation.overlap, problems=("Alas.",)))
    text = plain(Page(render(replace(full, evaluation=blind))).sections["evaluation"])
    assert "this number decides nothing" in text
    assert "better than" not in text
    assert "No. Alas." in text
    assert full.evaluation.difference.low > 0
    worse = replace(full.evaluation.difference, value=-0.05, low=-0.09, high=-0.01)
    text = render(replace(full, evaluation=replace(full.evaluation, difference=worse)))
    assert "worse than logging policy" in text
    assert sparse.evaluation is not None
    unsure = replace(sparse.evaluation, overlap=full.evaluation.overlap)
    text = render(replace(sparse, evaluation=unsure))
    assert "the interval holds 0" in text


def test_a_run_that_ended_early_says_why_in_every_section(ended: RunEvidence) -> None:
    page = Page(render(ended))
    why = "Not reached. This run ended at validation: rows present 0, expected at least 200."
    for section in (
        "rewards", "privacy", "synthetic", "training", "evaluation", "fairness", "gate",
        "explanations", "success",
    ):  # fmt: skip
        assert why in plain(page.sections[section]), section
    assert "not reached" in page.sections["stages"]
    assert "the data may not be learned from" in page.sections["data"]
    assert "Nothing left the trust boundary" in page.sections["privacy"]
    assert "0 of 8 metrics" in plain(page.sections["success"])


@pytest.mark.parametrize(
    "gone",
    ["manifest", "validation", "rewards", "user_model", "profiles", "quality", "heads", "training",
     "evaluation", "verdict", "rollout", "checkpoint"],
)  # fmt: skip
def test_any_one_thing_may_be_missing(full: RunEvidence, gone: str) -> None:
    nothing: dict[str, Any] = {gone: None}
    page = Page(render(replace(full, **nothing)))
    assert len(page.sections) == len(SECTIONS)


@pytest.mark.parametrize("gone", ["explanations", "success", "stages"])
def test_any_list_may_be_empty(full: RunEvidence, gone: str) -> None:
    nothing: dict[str, Any] = {gone: ()}
    page = Page(render(replace(full, **nothing)))
    assert "This run recorded no" in page.text or gone == "stages"
    if gone == "stages":
        assert "everloop runs show companion-2025-11-21-7b1c" in page.sections["stages"]


def test_nothing_at_all_is_still_a_page(full: RunEvidence) -> None:
    page = Page(render(RunEvidence(spec=full.spec, run_id="r", logical_date=full.logical_date)))
    assert "The gate was not asked in this run." in page.text


def test_hostile_names_stay_text(full: RunEvidence) -> None:
    assert full.evaluation is not None
    assert full.rewards is not None
    assert full.user_model is not None
    hostile = replace(
        full,
        spec=full.spec.model_copy(
            update={"name": HOSTILE, "source": HOSTILE, "description": HOSTILE}
        ),
        run_id=HOSTILE,
        tenant=HOSTILE,
        lineage={HOSTILE: HOSTILE},
        evaluation=replace(
            full.evaluation,
            baseline_name=HOSTILE,
            action_share={HOSTILE: 1.0},
            groups=tuple(
                replace(g, attribute=HOSTILE, group=HOSTILE) for g in full.evaluation.groups
            ),
            estimates=(replace(full.evaluation.estimates[0], name=HOSTILE, method=HOSTILE),),
            overlap=replace(full.evaluation.overlap, problems=(HOSTILE,)),
        ),
        logged_action_share={HOSTILE: 1.0},
        rewards=replace(
            full.rewards,
            outcomes={HOSTILE: 3},
            by_signal=(replace(full.rewards.by_signal[0], name=HOSTILE),),
        ),
        user_model=replace(
            full.user_model,
            warnings=(HOSTILE,),
            reused=HOSTILE,
            released=False,
            mechanism={"kind": HOSTILE, HOSTILE: HOSTILE},
            metrics={HOSTILE: 1.0},
        ),
        verdict=Verdict(
            Decision.HOLD, (Check(HOSTILE, CheckStatus.FAILED, HOSTILE),), {HOSTILE: HOSTILE}
        ),
        deployments=tuple(
            replace(d, artefacts=(replace(d.artefacts[0], version=HOSTILE),), outcome=HOSTILE)
            for d in full.deployments
        ),
        explanations=tuple(
            replace(x, action_taken=HOSTILE, context_summary=HOSTILE, model_adjustment=HOSTILE)
            for x in full.explanations
        ),
        success=tuple(replace(f, name=HOSTILE, note=HOSTILE) for f in full.success),
        stages=(replace(full.stages[0], stage=HOSTILE, summary=HOSTILE),),
    )
    markup = render(hostile)
    page = Page(markup)
    tags = {tag for tag, _ in page.tags}
    assert "script" not in tags
    assert "img" not in tags
    assert not any(name.startswith("on") for _, given in page.tags for name in given)
    assert HOSTILE in page.text


def test_the_gate_lists_what_stands_in_the_way_first(full: RunEvidence) -> None:
    checks = (
        Check("fine", CheckStatus.PASSED, "p."),
        Check("unclear", CheckStatus.INSUFFICIENT, "i."),
        Check("broken", CheckStatus.FAILED, "f."),
    )
    text = Page(render(replace(full, verdict=Verdict(Decision.HOLD, checks)))).sections["gate"]
    assert text.index("broken") < text.index("unclear") < text.index("fine")
    for word in ("failed", "insufficient", "passed"):
        assert word in text
    bare = Page(render(replace(full, verdict=Verdict(Decision.HOLD, ())))).sections["gate"]
    assert "hold without any check" in bare


def test_many_reasons_are_cut_with_a_link(full: RunEvidence) -> None:
    markup = render(full)
    assert '<a href="#gate">2 more at the gate</a>' in markup


def test_many_actions_are_summed_up(sparse: RunEvidence) -> None:
    text = plain(Page(render(sparse)).sections["evaluation"])
    assert "68 other actions: 85 % logged, 72.4 % by the candidate" in text
    assert "item-79" in text


def test_only_some_explanations_are_shown(full: RunEvidence) -> None:
    many = tuple(replace(full.explanations[0], episode_id=f"id-{i}") for i in range(11))
    text = Page(render(replace(full, explanations=many, explanations_total=0))).sections
    assert "id-7" in text["explanations"]
    assert "id-8" not in text["explanations"]
    assert "3 more are in the run" in text["explanations"]


def test_a_policy_from_the_raw_log_is_marked(full: RunEvidence) -> None:
    assert full.checkpoint is not None
    raw = replace(full.checkpoint, provenance=Provenance.RAW_LOG)
    text = plain(Page(render(replace(full, checkpoint=raw))).sections["privacy"])
    assert "may not be deployed" in text


def test_unmeasured_rewards_leave_no_number(full: RunEvidence) -> None:
    assert full.rewards is not None
    nothing = replace(
        full.rewards,
        rewarded=0,
        mean=Estimate("mean", math.nan, math.nan, math.nan, 0.95, 0, 0, "none"),
        positive_share=math.nan,
        histogram_counts=(),
        histogram_edges=(),
        daily=(),
    )
    page = Page(render(replace(full, rewards=nothing)))
    assert "not measured" in page.sections["rewards"]
    assert "nan" not in page.text.lower().split()
    assert "plot-rewards" not in page.ids
    assert "plot-daily" not in page.ids


def test_people_behind_a_group_are_named_when_they_differ(full: RunEvidence) -> None:
    assert full.evaluation is not None
    groups = (replace(full.evaluation.groups[0], people=77),)
    text = render(replace(full, evaluation=replace(full.evaluation, groups=groups)))
    assert "age group: under 25, 77 people" in text


def test_loops_without_protected_attributes_say_so(full: RunEvidence) -> None:
    assert full.evaluation is not None
    spec = full.spec.model_copy(update={"protected": (), "success_metrics": ()})
    bare = replace(full.evaluation, groups=(), baseline_groups=())
    page = Page(render(replace(full, spec=spec, evaluation=bare, success=())))
    assert "declares no protected attribute" in page.sections["fairness"]
    assert "names no success metric" in page.sections["success"]


@pytest.mark.parametrize("section", [s.ident for s in SECTIONS])
def test_a_section_is_a_page_of_its_own(full: RunEvidence, section: str) -> None:
    page = Page(section_page(section, full))
    assert sum(tag == "h1" for tag, _ in page.tags) == 1
    assert len(page.text) > 100
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))


def test_an_unknown_section_is_refused(full: RunEvidence) -> None:
    with pytest.raises(ShouldFixArgument, match="no section 'reward'"):
        section_page("reward", full)


def test_a_stage_page_shows_its_rows_and_trusts_only_plots() -> None:
    plot = bars(Caption("plot-a", "Bars", "Two bars."), ["a", "b"], [1.0, 2.0])
    page = Page(stage_page("Extract", f"Read {HOSTILE}", [("episodes", "12")], [plot, HOSTILE]))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("svg") == 1
    assert "script" not in tags
    assert "img" not in tags
    assert "episodes" in page.text
    assert "12" in page.text
    assert page.text.count(HOSTILE) == 2
    assert "Extract" in Page(stage_page("Extract", "Nothing.", [])).text


def test_models_without_figures_or_heads_say_so(full: RunEvidence) -> None:
    assert full.heads is not None
    pairing = replace(full.heads.models[0], figures=())
    bare = replace(full, heads=HeadFigures((pairing,), ("No next contexts: no emotion model.",)))
    shown = Page(section_page("models", bare)).text
    for words in ("No held-out decision could measure it.", "no emotion model.", "2 models"):
        assert words in plain(shown)
    nothing = replace(full, heads=None, checkpoint=None, comparison=None)
    assert "This run recorded no model." in Page(section_page("models", nothing)).text
