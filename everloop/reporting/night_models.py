"""The night's pairing, emotion and intervention models, each with what was measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from everloop.contracts.actions import ActionKind
from everloop.contracts.evaluation import Estimate, OverlapDiagnostics
from everloop.contracts.figures import HeadModel, SuccessFigure
from everloop.contracts.models import ModelType
from everloop.reporting.evidence import RunEvidence
from everloop.reporting.wording import NOT_MEASURED, evidence, interval, percent, words

_RIGHT_SHARES = ("pairing_accuracy", "pairing_majority_share")
_UNCHANGED, _CONSTANT, _ERROR = "_unchanged_rmse", "_constant_rmse", "_rmse"
_OUTCOMES = ("_acceptance", "_false_positive_rate")


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One figure in words: ``number`` with its interval, ``rests_on`` its n, ``beside`` what it has to
    beat, empty where nothing is."""

    name: str
    number: str
    rests_on: str
    beside: str = ""


@dataclass(frozen=True, slots=True)
class NightModel:
    """A model of the night; ``version`` is empty where the run did not come to name it."""

    kind: str
    version: str
    serves: str
    rows: tuple[ModelRow, ...]


_SERVES = {
    ModelType.PAIRING: "whom to bring together",
    ModelType.EMOTION: "how people respond and feel next",
    ModelType.INTERVENTION: "which action to take: the policy itself",
}


def night_models(found: RunEvidence) -> tuple[NightModel, ...]:
    """Pairing, emotion and intervention models, those that the run made, in this order."""
    heads = {head.model_type: head for head in (found.heads.models if found.heads else ())}
    made = [
        NightModel(
            kind.value, heads[kind.value].version, _SERVES[kind], _head_rows(heads[kind.value])
        )
        for kind in (ModelType.PAIRING, ModelType.EMOTION)
        if kind.value in heads
    ]
    version = _policy_version(found)
    if version:
        kind = ModelType.INTERVENTION
        made.append(NightModel(kind.value, version, _SERVES[kind], _policy_rows(found)))
    return tuple(made)


def _head_rows(head: HeadModel) -> tuple[ModelRow, ...]:
    """Every figure that is not itself what another one has to beat."""
    by_name = {figure.name: figure for figure in head.figures}
    beaten = {name for figure in head.figures if (name := _to_beat(figure.name, by_name))}
    return tuple(
        _row(figure, by_name.get(_to_beat(figure.name, by_name)))
        for figure in head.figures
        if figure.name not in beaten
    )


def _to_beat(name: str, known: dict[str, Estimate]) -> str:
    if name == _RIGHT_SHARES[0]:
        names: Sequence[str] = (_RIGHT_SHARES[1],)
    elif name.endswith(_ERROR) and not name.endswith((_UNCHANGED, _CONSTANT)):
        stem = name.removesuffix(_ERROR)
        names = (stem + _UNCHANGED, stem + _CONSTANT)
    else:
        names = ()
    return next((other for other in names if other in known), "")


def _row(figure: Estimate, beaten: Estimate | None) -> ModelRow:
    name = words(figure.name.replace("_rmse", " error")).replace(" f1", " F1")
    beside = "" if beaten is None else f"{_beaten(beaten.name)} {interval(beaten)}"
    return ModelRow(name, interval(figure), evidence(figure), beside)


def _beaten(name: str) -> str:
    if name.endswith(_UNCHANGED):
        return "predicting no change:"
    if name.endswith(_CONSTANT):
        return "the best constant:"
    return "always the more frequent answer:"


def _policy_version(found: RunEvidence) -> str:
    if found.checkpoint is not None and found.checkpoint.lineage.get("version"):
        return found.checkpoint.lineage["version"]
    return found.comparison.best.version if found.comparison is not None else ""


def _policy_rows(found: RunEvidence) -> tuple[ModelRow, ...]:
    rows = []
    if found.evaluation is not None:
        gain = found.evaluation.difference
        beside = f"the baseline earns {interval(found.evaluation.baseline)}"
        number = interval(gain, signed=True)
        rows.append(ModelRow("reward, candidate − baseline", number, evidence(gain), beside))
        rows += _excluded(found.evaluation.overlap)
    kind = ActionKind.INTERVENTION
    about = {m.name for m in found.spec.success_metrics if m.action_kind is kind}
    served = [f for f in found.success if f.name in about and f.name.endswith(_OUTCOMES)]
    if found.evaluation is not None:
        figures = {figure.name: figure for figure in found.success}
        rows += [_rate_row(rate, figures.get(rate.name)) for rate in found.evaluation.rates]
    return (*rows, *map(_served_row, served))


def _rate_row(rate: Estimate, served: SuccessFigure | None) -> ModelRow:
    """The candidate's own rate, beside what is asked of it and what the product in use has."""
    beside = ""
    if served is not None:
        asked = "below" if served.lower_is_better else "at least"
        current = NOT_MEASURED if served.current is None else interval(served.current)
        beside = f"asked for: {asked} {percent(served.target)}; as served: {current}"
    return ModelRow(
        f"{words(rate.name)}, candidate's estimate",
        interval(rate),
        f"effective n = {rate.n:,} from {rate.clusters:,} people",
        beside,
    )


def _excluded(overlap: OverlapDiagnostics) -> list[ModelRow]:
    """Logged decisions that the loop would not make today; none where it would make all."""
    if not overlap.excluded_share > 0:
        return []
    kept = f"{overlap.kept_as_logged:,} judged as logged, since flags leave nothing there"
    return [
        ModelRow(
            "logged decisions that today's flags exclude",
            percent(overlap.excluded_share),
            f"n = {overlap.n:,}",
            kept if overlap.kept_as_logged else "",
        )
    ]


def _served_row(figure: SuccessFigure) -> ModelRow:
    name = f"{words(figure.name)}, as served"
    if figure.current is None:
        return ModelRow(name, NOT_MEASURED, figure.note)
    return ModelRow(name, interval(figure.current), evidence(figure.current), figure.note)
