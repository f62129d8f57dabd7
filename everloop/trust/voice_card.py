"""A voice's model card in Markdown: what it is, what it learned from, how it was measured, its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate, Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from everloop.contracts.sandboxes import RunStatus, SandboxReport
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import AdapterFigures, DataFigures, VoiceComparison

CARD_FILE = "model_card.md"
PUBLIC_CARD_FILE = "model_card_public.md"
PUBLIC_LINEAGE = frozenset(
    {"adapter_release", "loop_spec", "code", "base", "version", "logical_date"}
)
"""What everyone may know of a private voice's making: public constants, and ids under the ledger's key. A
checksum of what people said would confirm a guess of it."""


def voice_card(
    spec: LoopSpec,
    voice: VoiceSpec,
    *,
    version: str,
    provenance: Provenance,
    lineage: Mapping[str, str],
    data: DataFigures,
    training: AdapterFigures,
    comparison: VoiceComparison,
    sandbox: SandboxReport,
    verdict: Verdict,
) -> str:
    """Write the card of one adapter, for operators: its figures are computed inside the trust boundary.

    Args:
        version: the adapter's.
        lineage: name -> id or checksum of what it was made from.
    """
    sections = (
        _what(spec, voice, version),
        _data(data, training),
        _training(voice, training),
        _privacy(provenance, training),
        _measured(comparison, training),
        _tried(sandbox),
        _verdict(verdict),
        _limits(voice, training, provenance),
        "## Lineage\n\n" + _table(("what", "id"), [(n, f"`{v}`") for n, v in lineage.items()]),
    )
    return "\n\n".join(sections) + "\n"


def public_voice_card(
    spec: LoopSpec,
    voice: VoiceSpec,
    *,
    version: str,
    lineage: Mapping[str, str],
    training: AdapterFigures,
) -> str:
    """Write the card of one private adapter, for everyone.

    It holds nothing but the specification, what the mechanism is and costs, and what follows from the
    released weights: no count of people, examples or tokens, and nothing that was measured on people's
    feedback.

    Raises:
        ShouldFixArgument: the adapter is no private release.
    """
    if training.epsilon is None or not training.release_id:
        raise ShouldFixArgument(
            f"Voice {version} was not trained privately.", "Its card is for operators alone."
        )
    public = [(name, f"`{value}`") for name, value in lineage.items() if name in PUBLIC_LINEAGE]
    sections = (
        _what(spec, voice, version),
        "This card is for everyone. Counts, and figures that are computed from what people said, stay "
        "inside the trust boundary and are shown to operators only.",
        _mechanism(voice, training),
        _privacy(Provenance.PRIVATE_RELEASE, training),
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in _known_limits(voice)),
        "## Lineage\n\n" + _table(("what", "id"), public),
    )
    return "\n\n".join(sections) + "\n"


def _mechanism(voice: VoiceSpec, training: AdapterFigures) -> str:
    rows = [
        (p.method, f"{p.steps:,}", f"{p.peak_learning_rate:g}", f"{p.max_grad_norm:g}")
        for p in training.phases
    ]
    return (
        f"## Training\n\n{training.parameters:,} numbers in {', '.join(voice.lora.target_modules)}; "
        f"they moved by {training.moved:.4g}, noise included. At most "
        f"{voice.privacy.examples_per_person:,} texts of a person were used.\n\n"
        + _table(("method", "noisy steps", "peak rate", "clip of a person"), rows)
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        plain = (cell.replace("|", chr(92) + "|").replace("\n", " ") for cell in cells)
        return f"| {' | '.join(plain)} |"

    return "\n".join([line(head), line(["---"] * len(head)), *(line(row) for row in rows)])


def _what(spec: LoopSpec, voice: VoiceSpec, version: str) -> str:
    return (
        f"# Voice {version} of loop {spec.name}\n\n"
        f"One LoRA adapter (rank {voice.lora.r}, alpha {voice.lora.alpha}) for the persona "
        f"{voice.persona} on {voice.base.name} ({voice.base.license}). It speaks in every situation; "
        "traits, exemplars and memory go through the prompt."
    )


def _data(data: DataFigures, training: AdapterFigures) -> str:
    tasks = ", ".join(f"{name} {rows:,}" for name, rows in training.rows_by_task.items()) or "none"
    head = (
        f"## Data\n\nIt learned from {training.rows:,} examples of {training.people:,} people and of "
        f"corpora ({tasks}), of {data.rows_out:,} that were made, {data.augmented:,} of these "
        f"paraphrases. Of {data.rows_in:,} rows were removed: "
        + (", ".join(f"{n.replace('_', ' ')} {c:,}" for n, c in data.removed.items()) or "none")
        + "."
    )
    shares = [
        (
            c.category.value,
            f"{c.rows:,}",
            f"{c.share:.1%}",
            f"{c.low:.0%} to {c.high:.0%}",
            "yes" if c.within else "no",
        )
        for c in data.categories
    ]
    parts = [head, _table(("category", "rows", "share", "range", "within"), shares)]
    if data.licenses:
        parts.append(_table(("corpus", "licence"), list(data.licenses.items())))
    return "\n\n".join(parts)


def _training(voice: VoiceSpec, training: AdapterFigures) -> str:
    rows = [
        (
            p.phase,
            p.method,
            f"{p.examples:,}",
            f"{p.steps:,} x {p.effective_batch}",
            f"{p.peak_learning_rate:g}",
            f"{p.warmup_steps:,}",
            f"{p.max_grad_norm:g}",
        )
        for p in training.phases
    ]
    head = ("phase", "method", "examples", "steps", "peak rate", "warm-up steps", "gradient norm")
    return (
        f"## Training\n\n{training.parameters:,} numbers in {', '.join(voice.lora.target_modules)}; "
        f"they moved by {training.moved:.4g}.\n\n" + _table(head, rows)
    )


def _privacy(provenance: Provenance, training: AdapterFigures) -> str:
    if training.epsilon is None:
        return (
            "## Privacy\n\nThe adapter gives **no guarantee of differential privacy** "
            f"({provenance.value.replace('_', ' ')}): it was made of texts of people who agreed to "
            "training, without those who refused."
        )
    return (
        f"## Privacy\n\nThe unit is the person: epsilon = {training.epsilon:g} at delta = "
        f"{training.delta:g}, release `{training.release_id}`."
    )


def _measured(found: VoiceComparison, training: AdapterFigures) -> str:
    beside = (found.margin, found.disliked, found.reward)
    rows = [
        (e.name, _interval(e), f"{e.confidence:.0%}", f"{e.n:,}", f"{e.clusters:,}", e.method)
        for e in (
            found.effect,
            found.length_adjusted,
            found.over_active,
            found.golden,
            found.length_ratio,
            *found.by_category,
            *(replace(e, name=f"task {e.name}") for e in found.by_task),
            *(e for e in beside if e is not None),
        )
    ]
    head = ("figure", "estimate", "confidence", "rows", "people", "method")
    perplexity = ", ".join(f"{name} {value:.4g}" for name, value in found.perplexity.items())
    scored = (
        ""
        if found.reward is None
        else " The reward is a model's opinion of sampled answers, and decided nothing."
    )
    unjudged = "".join(
        f" Nobody who was held out judges what it learned of task {task}."
        for task in found.unjudged(training)
    )
    return (
        "## Measured\n\nHow likely what people wanted is whose feedback trained nothing, in nats a token. "
        "The margin of pairs and what was disliked stand beside it and decided nothing."
        f"{unjudged}\n\n{_table(head, rows)}\n\nPerplexity of the golden set: {perplexity}."
        + scored
    )


def _tried(found: SandboxReport) -> str:
    good = sum(run.status is RunStatus.PASSED for run in found.runs)
    skipped = sum(run.status is RunStatus.SKIPPED for run in found.runs)
    active = sum(run.status is RunStatus.PASSED for run in found.active_runs)
    return (
        f"## Sandbox\n\n{good:,} of {len(found.runs):,} scenarios passed, {skipped:,} were skipped; "
        f"the active voice passed {active:,} of {len(found.active_runs):,}."
    )


def _verdict(verdict: Verdict) -> str:
    rows = [(c.name.replace("_", " "), c.status.value, c.reason) for c in verdict.checks]
    return f"## Verdict: {verdict.decision.value}\n\n" + _table(("check", "answer", "reason"), rows)


def _limits(voice: VoiceSpec, training: AdapterFigures, provenance: Provenance) -> str:
    known = _known_limits(voice)
    if training.people < 100:
        known.append(f"It learned from {training.people:,} people, too few to speak for everybody.")
    if provenance is not Provenance.PRIVATE_RELEASE:
        known.append("It may repeat what somebody wrote.")
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in known)


def _known_limits(voice: VoiceSpec) -> list[str]:
    return [
        f"It speaks {', '.join(voice.data.languages)}; other languages were kept out of its data.",
        "It can say what is not so. Nothing here measures whether its answers are true.",
        "Scenarios show what was tried, not what could happen.",
    ]


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "not measured"
    if math.isnan(estimate.low):
        return f"{estimate.value:.4g}, no interval"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"
