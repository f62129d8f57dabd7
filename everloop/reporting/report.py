"""The run report: one self-contained HTML file, and single pages for a graph's stages.

Every value that comes from data is escaped by the templates. The page holds its style and plots, asks
no network for anything (its content security policy forbids it) and runs no script.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.figures import SuccessFigure
from everloop.reporting import calibration, charts, learners, private, wording
from everloop.reporting.evidence import RunEvidence
from everloop.reporting.headline import headline
from everloop.reporting.night_models import night_models
from everloop.reporting.success import unmeasured

EXPLANATIONS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the report; its template is named after it."""

    ident: str
    title: str

    @property
    def template(self) -> str:
        return f"section_{self.ident}.html.j2"


SECTIONS = (
    Section("stages", "What the run did"),
    Section("data", "Data"),
    Section("rewards", "Rewards"),
    Section("privacy", "Privacy"),
    Section("synthetic", "Synthetic people"),
    Section("training", "Training"),
    Section("learners", "Learners compared"),
    Section("evaluation", "Evaluation"),
    Section("models", "Models of the night"),
    Section("fairness", "Fairness"),
    Section("gate", "Gate"),
    Section("calibration", "Predictions and trials"),
    Section("explanations", "Explanations"),
    Section("success", "Success metrics"),
    Section("lineage", "Lineage"),
    Section("glossary", "How to read this"),
    Section("attribution", "Attribution"),
)
"""In the order in which an engineer asks."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the headline's big numbers."""

    name: str
    value: str
    detail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SuccessRow:
    """A success metric in the words of its unit."""

    figure: SuccessFigure
    baseline: str
    target: str
    current: str
    answer: str


def render(evidence: RunEvidence) -> str:
    """The whole report as one HTML document; the same evidence gives the same bytes."""
    return _environment().get_template("report.html.j2").render(_values(evidence))


def section_page(section: str, evidence: RunEvidence) -> str:
    """One section of the report as an HTML page of its own, for a stage's artefact.

    Args:
        section: ``ident`` of one of ``SECTIONS``.
        evidence: only what the section shows need be set.

    Raises:
        ShouldFixArgument: there is no such section.
    """
    found = next((s for s in SECTIONS if s.ident == section), None)
    if found is None:
        names = ", ".join(s.ident for s in SECTIONS)
        raise ShouldFixArgument(f"The report has no section {section!r}.", f"Sections: {names}.")
    values = {**_values(evidence), "section": found, "whole": False}
    return _environment().get_template("section.html.j2").render(values)


def stage_page(
    title: str, summary: str, rows: Sequence[tuple[str, str]], figures: Sequence[str] = ()
) -> str:
    """A small HTML page on one stage, readable in the Kubeflow UI.

    Args:
        title: the stage's name.
        summary: its result in a sentence.
        rows: (name, value) pairs.
        figures: plots of ``everloop.reporting``; any other text is escaped.
    """
    values = {"title": title, "summary": summary, "rows": rows, "figures": figures}
    return _environment().get_template("stage.html.j2").render(values)


def filled(template: str, values: Mapping[str, object]) -> str:
    """A template of this package, with its values escaped."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": wording.number,
        "percent": wording.percent,
        "interval": _interval,
        "evidence": lambda estimate: _unbroken(wording.evidence(estimate)),
        "duration": wording.duration,
        "day": wording.day,
        "words": wording.words,
        "plural": wording.plural,
        "count": lambda value: f"{value:,}",
        "finite": math.isfinite,
        "mechanism": _mechanism,
    }
    environment.globals |= {
        "calibration": calibration,
        "charts": charts,
        "learners": learners,
        "night_models": night_models,
        "private": private,
        "release_figure": wording.release_figure,
    }
    return environment


def _unbroken(words: str) -> Markup:
    return Markup('<span class="nb">{}</span>').format(words)


def _interval(estimate: Estimate, *, signed: bool = False) -> Markup:
    return _unbroken(wording.interval(estimate, signed=signed))


def _values(evidence: RunEvidence) -> dict[str, object]:
    figures = evidence.success or unmeasured(
        evidence.spec, evidence.missing("measurement of success")
    )
    return {
        "e": evidence,
        "head": headline(evidence),
        "tiles": _tiles(evidence),
        "sections": SECTIONS,
        "whole": True,
        "shown": EXPLANATIONS_SHOWN,
        "weights": {signal.name: signal.weight for signal in evidence.spec.signals},
        "ordered_checks": _ordered(evidence.verdict.checks if evidence.verdict else ()),
        "success": tuple(_success_row(figure) for figure in figures),
        "lineage": tuple(_lineage(evidence).items()),
        "boundary": private.boundary(evidence),
    }


def _tiles(evidence: RunEvidence) -> tuple[Tile, ...]:
    return (
        _data_tile(evidence),
        _reward_tile(evidence),
        _gain_tile(evidence),
        _budget_tile(evidence),
    )


_ABSENT = "\N{EM DASH}"


def _data_tile(evidence: RunEvidence) -> Tile:
    manifest = evidence.manifest
    if manifest is None:
        return Tile("Episodes", _ABSENT, ("not extracted",))
    detail = [wording.plural(manifest.window_days, "day")]
    if evidence.rewards is not None:
        detail.append(f"{evidence.rewards.rewarded:,} rewarded")
    return Tile("Episodes", f"{manifest.episodes:,}", tuple(detail))


def _reward_tile(evidence: RunEvidence) -> Tile:
    if evidence.rewards is None or math.isnan(evidence.rewards.mean.value):
        return Tile("Mean reward", _ABSENT, ("not measured",))
    return _estimate_tile("Mean reward", evidence.rewards.mean, signed=False)


def _gain_tile(evidence: RunEvidence) -> Tile:
    name = "Candidate \N{MINUS SIGN} baseline"
    evaluation = evidence.evaluation
    if evaluation is None or math.isnan(evaluation.difference.value):
        return Tile(name, _ABSENT, ("not evaluated",))
    return _estimate_tile(name, evaluation.difference, signed=True)


def _estimate_tile(name: str, estimate: Estimate, *, signed: bool) -> Tile:
    value, _, ends = wording.interval(estimate, signed=signed).partition(" ")
    return Tile(name, value, (ends, wording.evidence(estimate)))


def _budget_tile(evidence: RunEvidence) -> Tile:
    budget = evidence.budget
    if budget is None:
        return Tile("Privacy spent", _ABSENT, ("nothing released",))
    days = wording.plural(budget.period_days, "day")
    tonight = wording.number(budget.epsilon_tonight)
    return Tile(
        "Privacy spent",
        f"ε\N{NO-BREAK SPACE}{wording.number(budget.epsilon_period)}",
        (f"of {wording.number(budget.epsilon_budget)} in {days}", f"at most {tonight} tonight"),
    )


def _ordered(checks: Sequence[Check]) -> tuple[Check, ...]:
    order = (CheckStatus.FAILED, CheckStatus.INSUFFICIENT, CheckStatus.PASSED)
    return tuple(sorted(checks, key=lambda check: order.index(check.status)))


def _success_row(figure: SuccessFigure) -> SuccessRow:
    share = figure.unit == "share"
    shown = wording.percent if share else wording.number
    baseline, target = shown(figure.baseline), shown(figure.target)
    current = figure.current
    if current is None:
        return SuccessRow(figure, baseline, target, figure.note, wording.NOT_MEASURED)
    numbers = f"{wording.interval(current, percent=share)}, {wording.evidence(current)}"
    return SuccessRow(figure, baseline, target, numbers, _answer(figure))


def _answer(figure: SuccessFigure) -> str:
    """``reached`` or ``missed`` where the whole interval says so, else ``undecided``."""
    current = figure.current
    if current is None or math.isnan(current.low) or math.isnan(current.high):
        return "undecided"
    best, worst = (
        (current.low, current.high) if figure.lower_is_better else (current.high, current.low)
    )
    sign = -1.0 if figure.lower_is_better else 1.0
    if sign * (worst - figure.target) >= 0:
        return "reached"
    return "missed" if sign * (best - figure.target) < 0 else "undecided"


def _lineage(evidence: RunEvidence) -> Mapping[str, str]:
    """Ids and checksums, each once; the run's own lineage comes first."""
    found = dict(evidence.lineage)
    known = {"run": evidence.run_id, "loop_spec": evidence.spec.checksum}
    if evidence.manifest:
        known["dataset"] = evidence.manifest.dataset_id
    given = set(found.values())
    found |= {name: value for name, value in known.items() if value not in given}
    if manifest := evidence.manifest:
        found |= {f"dataset file {f.name}": f.sha256 for f in manifest.files}
        found["episode watermark"] = str(manifest.episode_watermark)
        found["signal watermark"] = str(manifest.signal_watermark)
        found["consent revision"] = str(manifest.consent_revision)
    found |= {f"{name} release": note.release_id for name, note in evidence.releases}
    if training := evidence.training:
        found["policy weights"] = training.weights_sha256
    if checkpoint := evidence.checkpoint:
        found["checkpoint"] = checkpoint.checkpoint_id
        found["served weights"] = checkpoint.weights_sha256
        found |= {f"checkpoint file {n}": sha for n, sha in checkpoint.files.items()}
        found |= {n: v for n, v in checkpoint.lineage.items() if n not in found}
    if rollout := evidence.rollout:
        found["rollout"] = rollout.rollout_id
    if verdict := evidence.verdict:
        found |= {f"gate input {n}": sha for n, sha in verdict.inputs.items()}
    return found


def _mechanism(terms: Mapping[str, float | int | str]) -> str:
    """``gaussian: sigma 13.2, clip 1, steps 4``."""
    kind = str(terms.get("kind", "mechanism"))
    rest = [
        f"{wording.words(name)} {wording.number(value) if not isinstance(value, str) else value}"
        for name, value in terms.items()
        if name != "kind"
    ]
    return f"{kind}: {', '.join(rest)}" if rest else kind
