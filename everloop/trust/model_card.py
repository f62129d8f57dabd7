"""A model card in Markdown: what a policy is, what it was made from, how good it is and its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.evaluation import CheckStatus, Estimate, PolicyEvaluation, Verdict
from everloop.contracts.loop_spec import ContextField, LoopSpec, Sensitivity
from everloop.contracts.models import Provenance
from everloop.contracts.policy_learning import DEFAULT_LEARNER, PolicyComparison
from everloop.contracts.privacy import ReleaseNote
from everloop.trust.explain import in_words

Audience = Literal["operators", "public"]
AUDIENCES: tuple[Audience, ...] = ("operators", "public")
CARD_FILES: Mapping[Audience, str] = {
    "operators": "model_card.md",
    "public": "model_card_public.md",
}
"""The file of each card among a checkpoint's."""
_LEARNED: Mapping[str, str] = {
    DEFAULT_LEARNER: "It was trained by proximal policy optimisation",
    "greedy": "It takes the best single decision as a model of people expects it, which was learned",
    "lin_ts": "It is a linear bandit with Thompson sampling, learned",
    "lin_ucb": "It is a linear bandit with optimistic scores, learned",
}
_INSIDE = (
    "Figures that are computed from logged decisions stay inside the trust boundary and are shown to "
    "operators only."
)


PUBLIC_LINEAGE = frozenset(
    {
        "user_model_release",
        "profiles_release",
        "loop_spec",
        "code",
        "encoder",
        "seed",
        "weights",
        "version",
        "learner",
        "logical_date",
    }
)
"""What everyone may know of a policy's making. Checksums of what was learned on the raw log, such as the
versions that it was compared with, would confirm a guess of that log."""


def model_card(
    spec: LoopSpec,
    *,
    version: str,
    provenance: Provenance,
    releases: Sequence[ReleaseNote],
    lineage: Mapping[str, str],
    dataset: DatasetManifest | None = None,
    evaluation: PolicyEvaluation | None = None,
    comparison: PolicyComparison | None = None,
    verdict: Verdict | None = None,
    published: Sequence[Estimate] = (),
    audience: Audience = "operators",
) -> str:
    """Write the card of one policy.

    The public card holds nothing but the loop specification, private releases, figures that a private
    release paid for, and checksums. The operators' card adds counts, evaluation and verdict, which read
    the raw log, why a release was reused, which counts people, and what people have spent.

    Args:
        spec: the loop.
        version: the policy's version.
        provenance: what the policy was made from.
        releases: the private releases that it was trained on.
        lineage: name -> id or checksum; "learner" says how the policy was learned.
        dataset: the dataset version.
        evaluation: off-policy evaluation on held-out people.
        comparison: what the policy was chosen from, on the same people.
        verdict: the gate's answer.
        published: quality figures of a private release, with the intervals of its noise.
        audience: who may read this card.
    """
    inside = audience == "operators"
    sections = [
        _what(spec, version, provenance, lineage.get("learner", DEFAULT_LEARNER), audience),
        _states(spec),
        _actions(spec),
        _data(spec, dataset if inside else None),
        _privacy(spec, releases, inside),
        _published(published),
        _evaluation(spec, evaluation) if inside else f"## Evaluation\n\n{_INSIDE}",
        _comparison(comparison) if inside else "",
        _verdict(verdict) if inside else "",
        _limits(spec),
        _lineage(lineage if inside else {n: v for n, v in lineage.items() if n in PUBLIC_LINEAGE}),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return "\n".join([line(head), line(["---"] * len(head)), *(line(row) for row in rows)])


def _what(
    spec: LoopSpec, version: str, provenance: Provenance, learner: str, audience: Audience
) -> str:
    made = (
        "private releases alone"
        if provenance is Provenance.PRIVATE_RELEASE
        else "the raw log: it must not be deployed"
    )
    return (
        f"# Policy {version} of loop {spec.name}\n\n"
        f"{spec.description}\n\n"
        f"A policy chooses one of {len(spec.actions)} actions from what is known of a person at that "
        f"moment. {_LEARNED.get(learner, f'It was learned by {learner}')} in a simulation of "
        f"people, made from {made}. When it serves, it explores: every valid action keeps a "
        f"probability of at least {spec.exploration.serving_floor:g} divided by the number of "
        f"valid actions.\n\n"
        f"This card is for {'operators' if audience == 'operators' else 'everyone'}."
    )


def _states(spec: LoopSpec) -> str:
    def range_of(field: ContextField) -> str:
        if field.choices:
            return f"{len(field.choices)} choices"
        width = f"{field.width} x " if field.width > 1 else ""
        return f"{width}{field.kind.value}"

    rows = [
        (
            field.name,
            range_of(field),
            "health" if field.sensitivity is Sensitivity.HEALTH else field.sensitivity.value,
            field.description or "-",
        )
        for field in spec.context
    ]
    return "## What it sees\n\n" + _table(("field", "kind", "sensitivity", "meaning"), rows)


def _actions(spec: LoopSpec) -> str:
    rows = [(in_words(a), "yes" if a.safety_critical else "no") for a in spec.actions]
    return "## What it can do\n\n" + _table(("action", "safety-critical"), rows)


def _data(spec: LoopSpec, dataset: DatasetManifest | None) -> str:
    people = (
        ""
        if spec.person_ids
        else " The log carries no person ids: each row is a person of its own."
    )
    text = f"## Data\n\n{spec.source or 'The source is not stated.'}{people}"
    if dataset is None:
        return text
    left = dataset.exclusions
    return (
        f"{text}\n\nDataset version `{dataset.dataset_id}` of {dataset.logical_date.isoformat()}: "
        f"{dataset.episodes:,} episodes and {dataset.signals:,} signals of {dataset.window_days} days. "
        f"Left out: {left.opted_out_episodes:,} episodes of people who opted out, "
        f"{left.disputed_signals:,} disputed signals, {left.late_signals:,} late signals. "
        f"{spec.thresholds.holdout_share:.0%} of people are held out from training, for evaluation."
    )


def _privacy(spec: LoopSpec, releases: Sequence[ReleaseNote], inside: bool) -> str:
    head = (
        "## Privacy\n\n"
        f"The unit is the person. The budget is epsilon = {spec.privacy.epsilon:g} at delta = "
        f"{spec.privacy.delta:g} for each person in any {spec.privacy.period_days} days, for "
        "everything that is learned from them."
    )
    if not releases:
        return f"{head}\n\nNo private release was made for this policy."
    head += "\n\n"
    if inside:
        rows = [
            (
                note.stage,
                f"reused: {note.reused}" if note.reused else "new",
                f"{note.epsilon:.4g}",
                f"{note.budget.epsilon_period:.4g}",
                f"{note.parameters:,}",
                f"`{note.release_id[:16]}`",
            )
            for note in releases
        ]
        columns = (
            "release", "state", "its epsilon", "epsilon of the period", "numbers released", "id"
        )  # fmt: skip
        return head + _table(columns, rows)
    public = [
        (note.stage, f"{note.epsilon:.4g}", f"{note.parameters:,}", f"`{note.release_id[:16]}`")
        for note in releases
    ]
    return head + _table(("release", "its epsilon", "numbers released", "id"), public)


def _published(figures: Sequence[Estimate]) -> str:
    if not figures:
        return ""
    rows = [(figure.name.replace("_", " "), _interval(figure), figure.method) for figure in figures]
    return (
        "## Quality of the simulated people\n\n"
        "Measured on people whom nothing was learned from, through a private release of its own; the "
        "interval is of the noise that protects them. An average over nights is about the models of all of "
        "them, older ones counting for less.\n\n" + _table(("figure", "value", "how"), rows)
    )


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "not measured"
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _evaluation(spec: LoopSpec, found: PolicyEvaluation | None) -> str:
    if found is None:
        return "## Evaluation\n\nThis policy was not evaluated on logged decisions."
    rows = [
        (e.name, _interval(e), f"{e.confidence:.0%}", f"{e.n:,}", f"{e.clusters:,}", e.method)
        for e in (found.difference, found.baseline, *found.estimates)
    ]
    groups = [(g.attribute, g.group, f"{g.people:,}", _interval(g.estimate)) for g in found.groups]
    head = (
        "## Evaluation\n\nOne-step values at the logged states of held-out people, in reward units "
        f"({spec.reward.attainable_low:g} to {spec.reward.attainable_high:g} can be earned). "
        f"The baseline is {found.baseline_name}."
    )
    columns = ("value", "estimate", "confidence", "decisions", "people", "method")
    parts = [head, _table(columns, rows)]
    if groups:
        parts.append(_table(("attribute", "group", "people", "share of the range"), groups))
    parts.extend(f"- {problem}" for problem in found.overlap.problems)
    return "\n\n".join(parts)


def _comparison(found: PolicyComparison | None) -> str:
    """Every learner on the same people, and whether they tell the chosen one from the others."""
    if found is None:
        return ""
    gaps = {gap.name: _interval(gap) for gap in found.differences}
    rows = [
        (
            p.learner if p.deployable else f"{p.learner}, report only",
            _interval(p.evaluation.difference),
            gaps.get(p.learner, "chosen"),
        )
        for p in found.policies
    ]
    columns = ("learner", "learner - baseline", "chosen - learner")
    return f"## Learners compared\n\n{found.reason}\n\n{_table(columns, rows)}"


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return "## Verdict\n\nThe gate was not asked."
    marks = {CheckStatus.PASSED: "passed", CheckStatus.FAILED: "failed"}
    rows = [(c.name, marks.get(c.status, "not enough evidence"), c.reason) for c in verdict.checks]
    return f"## Verdict: {verdict.decision.value}\n\n" + _table(("check", "answer", "reason"), rows)


def _limits(spec: LoopSpec) -> str:
    protected = ", ".join(spec.protected) or "none"
    return (
        "## Limits\n\n"
        "- Values are of single decisions at logged states. They are not values of journeys, and say "
        "nothing about states that the log does not hold.\n"
        "- Off-policy evaluation shows that a policy is not clearly worse; that it is better is for "
        "the online trial to show.\n"
        "- The simulated people answer as a private model of real ones; privacy blurs what is rare.\n"
        f"- Fairness is checked for: {protected}. Other groups are not looked at.\n"
        "- It learned from people who consented to training and may not suit those who did not."
    )


def _lineage(lineage: Mapping[str, str]) -> str:
    if not lineage:
        return ""
    rows = [(name, f"`{value}`") for name, value in sorted(lineage.items())]
    return "## Lineage\n\n" + _table(("made from", "id or SHA-256"), rows)
