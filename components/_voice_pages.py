"""What each step of a voice's graph says of its result: (summary, rows, metrics, plots), for ``says``."""

from __future__ import annotations

from components._pages import Told
from everloop.adaptation.collected import CollectedFigures
from everloop.contracts.evaluation import Estimate
from everloop.contracts.sandboxes import RunStatus, SandboxReport
from everloop.contracts.voices import (
    AdapterFigures,
    DataFigures,
    RewardModelFigures,
    StrategyChoice,
    VoiceComparison,
)
from everloop.reporting.voice import (
    TASKS,
    UNSCORED,
    VoiceEvidence,
    loss_curves,
    rate_curve,
    sentence_of,
    suite_rows,
    word_of,
)
from everloop.reporting.wording import evidence, interval, number, plural


def collection_rows(found: CollectedFigures) -> Told:
    """What people said until now."""
    said = sum(found.feedback.values())
    rows = [
        ("collection", found.collected_id),
        *((f"feedback: {kind}", f"{count:,}") for kind, count in found.feedback.items()),
        ("disputed among it", f"{found.disputed:,}"),
        ("packages of own text", f"{found.packages:,}"),
        ("people", f"{found.people:,}"),
    ]
    summary = (
        f"{plural(said, 'feedback', 'feedbacks')} and {plural(found.packages, 'package')} of "
        f"{plural(found.people, 'person', 'people')}"
    )
    counts = {"feedback": said, "packages": found.packages, "people": found.people}
    return summary, rows, {name: float(value) for name, value in counts.items()}, ()


def data_rows(found: DataFigures) -> Told:
    """What became of the rows."""
    removed = sum(found.removed.values())
    rows = [
        ("rows in", f"{found.rows_in:,}"),
        ("examples", f"{found.rows_out:,}"),
        *((f"removed: {name}", f"{count:,}") for name, count in found.removed.items()),
        *((f"task: {name}", f"{count:,}") for name, count in found.by_task.items()),
        *((f"source: {name}", f"{count:,}") for name, count in found.by_source.items()),
        ("paraphrases", f"{found.augmented:,}"),
        ("people", f"{found.people:,}"),
        *(
            (c.category.value, f"{c.share:.1%}; {c.low:.0%} to {c.high:.0%} of a large corpus")
            for c in found.categories
        ),
        *((f"licence of {name}", text) for name, text in found.licenses.items()),
    ]
    dominates = f"; {found.dominating} dominates" if found.dominating else ""
    summary = f"{found.rows_out:,} examples of {found.rows_in:,} rows{dominates}"
    metrics = {
        "rows_in": float(found.rows_in),
        "rows_out": float(found.rows_out),
        "removed": float(removed),
        "people": float(found.people),
    }
    return summary, rows, metrics, ()


def strategy_rows(found: StrategyChoice) -> Told:
    """What was chosen and skipped, with reasons."""
    rows = [
        *((f"chosen: {name.replace('_', ' ')}", why) for name, why in found.reasons.items()),
        *((f"not: {name.replace('_', ' ')}", why) for name, why in found.skipped.items()),
    ]
    volume = found.volume
    metrics = {
        "corrections": volume.corrections,
        "own_texts": volume.own_texts,
        "pairs": volume.pairs,
        "thumbs": volume.thumbs_up + volume.thumbs_down,
        "trait_signals": float(volume.trait_signals),
        "corpus_rows": float(volume.corpus_rows),
    }
    names = ", ".join(way.value.replace("_", " ") for way in found.chosen) or "nothing"
    return f"chosen: {names}", rows, metrics, ()


def scorer_rows(found: RewardModelFigures) -> Told:
    """The reward model, or why there is none."""
    if found.refused:
        return f"no reward model: {found.refused}", [("why not", found.refused)], {}, ()
    known = "not measured" if found.accuracy is None else interval(found.accuracy)
    rows = [
        ("accuracy on held-out people", known),
        ("pairs to learn from", f"{found.train_pairs:,}"),
        ("pairs to judge on", f"{found.held_out_pairs:,}"),
        ("weights", found.sha256),
    ]
    metrics = {} if found.accuracy is None else {"accuracy": found.accuracy.value}
    return f"accuracy on held-out people {known}", rows, metrics, ()


def adapter_rows(found: AdapterFigures) -> Told:
    """A training: every phase, how far the adapter moved."""
    steps = sum(phase.steps for phase in found.phases)
    rows = [
        *(
            (
                f"{p.phase}: {p.method}",
                f"{p.steps} steps of {p.effective_batch}, peak rate {p.peak_learning_rate:g}, loss "
                f"{number(p.first_loss)} to {number(p.last_loss)}, {p.tokens:,} tokens in "
                f"{number(p.seconds)} s",
            )
            for p in found.phases
        ),
        *(() if found.placebo else _learned(found)),
        ("moved by", number(found.moved)),
        ("parameters", f"{found.parameters:,}"),
        ("adapter", found.adapter_sha256),
        ("base", found.base_sha256),
    ]
    if found.epsilon is not None:
        rows.append(("privacy", f"ε = {found.epsilon:g}, δ = {found.delta:g}, {found.release_id}"))
    metrics = {"steps": float(steps), "moved": found.moved, "parameters": float(found.parameters)}
    if found.phases:
        metrics |= {
            "first_loss": found.phases[0].first_loss,
            "last_loss": found.phases[-1].last_loss,
        }
    summary = f"{plural(steps, 'step')}; the adapter moved by {number(found.moved)}"
    return summary, rows, metrics, (loss_curves(found, None), rate_curve(found))


def _learned(found: AdapterFigures) -> list[tuple[str, str]]:
    """What was read of each task, and whose it is."""
    rows = [
        (f"learned from: {task}", plural(n, "example")) for task, n in found.rows_by_task.items()
    ]
    return [*rows, ("people who taught it", f"{found.people:,}")]


def measure_rows(found: VoiceComparison) -> Told:
    """Candidate beside placebo and active voice."""
    named: list[tuple[str, Estimate]] = [
        ("effect", found.effect),
        ("effect_at_equal_length", found.length_adjusted),
        ("over_active", found.over_active),
        ("forgetting", found.golden),
        ("length_ratio", found.length_ratio),
    ]
    beside = {"margin": found.margin, "disliked": found.disliked, "reward": found.reward}
    named += [(name, estimate) for name, estimate in beside.items() if estimate is not None]
    rows = [(name.replace("_", " "), interval(estimate)) for name, estimate in named]
    rows += [(f"effect: {e.name}", interval(e)) for e in found.by_category]
    rows += [(f"effect, {TASKS[e.name]}", f"{interval(e)}; {evidence(e)}") for e in found.by_task]
    rows += [(f"perplexity: {name}", number(value)) for name, value in found.perplexity.items()]
    if found.unscored:
        rows.append((UNSCORED, f"{found.unscored:,}"))
    metrics = {name: estimate.value for name, estimate in named}
    metrics |= {f"{name}_low": estimate.low for name, estimate in named}
    metrics |= {f"{name}_high": estimate.high for name, estimate in named}
    summary = (
        f"candidate − placebo {interval(found.effect)} nats a token, golden loss "
        f"{interval(found.golden)}"
    )
    return summary, rows, metrics, ()


def sandbox_rows(found: SandboxReport) -> Told:
    """Go or no-go, suite by suite."""
    passed = sum(run.status is RunStatus.PASSED for run in found.runs)
    rows = [
        *(
            (
                row.suite,
                f"{row.candidate} of {row.scenarios} passed, the active voice {row.active}",
            )
            for row in suite_rows(found)
        ),
        *((f"{check.name}: {check.status}", check.reason) for check in found.checks),
        ("enforced by", ", ".join(found.isolation.mechanisms) or "nothing"),
    ]
    metrics = {"scenarios": float(len(found.runs)), "passed": float(passed)}
    failing = [check.reason for check in found.checks if not check.passed]
    answer = "go" if found.go else f"no go: {failing[0] if failing else 'nothing was checked'}"
    return f"{passed} of {len(found.runs)} scenarios passed; {answer}", rows, metrics, ()


def report_rows(found: VoiceEvidence) -> Told:
    """The report: what the run came to."""
    return f"{word_of(found)}: {sentence_of(found)}", (), {}, ()
