"""The pairing and the emotion model of a night: exported, measured, registered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.documents import read
from everloop.contracts.evaluation import Decision, Estimate
from everloop.contracts.figures import HeadFigures, HeadModel
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.registry.registration import Candidate, register
from everloop.wiring import Workspace
from rl.encoders import layout
from synthetic.heads import export_heads, head_figures
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.mlp import MlpUserModel

FIGURES = "heads.json"


def export_and_measure(
    spec: LoopSpec, model: LinearUserModel | MlpUserModel, episodes: EncodedEpisodes, folder: Path
) -> HeadFigures:
    """Write the heads into a folder; what was measured of each on held-out people."""
    exported = export_heads(spec, model, layout(spec), folder)
    measured = head_figures(spec, model, episodes)
    models = [
        HeadModel(
            model_type=head.model_type.value,
            file=head.path.name,
            sha256=head.sha256,
            version=head.version,
            error=head.error,
            figures=tuple(e for e in measured if _is_about(e, head.model_type)),
        )
        for head in (exported.pairing, exported.emotion)
        if head is not None
    ]
    return HeadFigures(tuple(models), exported.left_out)


def register_heads(
    spec: LoopSpec,
    workspace: Workspace,
    tenant: str,
    heads: Path,
    lineage: Mapping[str, str],
    verdict: str,
) -> tuple[ModelCheckpoint, ...]:
    """Register the night's heads beside its policy.

    A head may be deployed where the gate lets the night's policy go on and its own figures show that it
    knows something (``is_better_than_nothing``); else it is held.

    Args:
        lineage: the policy's; of it, only what the heads were made from becomes theirs.
        verdict: the gate's, ``continue`` or ``hold``.
    """
    made_from = ("dataset", "user_model_release", "loop_spec", "code", "encoder", "seed")
    known = {name: lineage[name] for name in (*made_from, "logical_date")}
    found = []
    for head in read(HeadFigures, heads / FIGURES).models:
        figures = {"export_error": head.error}
        for estimate in head.figures:
            figures |= {
                estimate.name: estimate.value,
                f"{estimate.name}_low": estimate.low,
                f"{estimate.name}_high": estimate.high,
                f"{estimate.name}_n": float(estimate.n),
                f"{estimate.name}_people": float(estimate.clusters),
            }
        found.append(
            register(
                Candidate(
                    loop=spec.name,
                    tenant=tenant,
                    model_type=ModelType(head.model_type),
                    files={head.file: heads / head.file},
                    served=head.file,
                    performance_metrics=figures,
                    lineage=known | {"version": head.version, "weights": head.sha256},
                    provenance=Provenance.PRIVATE_RELEASE,
                    verdict=verdict if is_better_than_nothing(head) else Decision.HOLD.value,
                    training_date=datetime.now(UTC),
                ),
                workspace.registry,
                workspace.blobs,
            )
        )
    return tuple(found)


def is_better_than_nothing(head: HeadModel) -> bool:
    """Whether a head beats, by its interval's bound, what needs no model.

    A pairing model: more right than always giving the more frequent answer. An emotion model: nearer to
    people's next contexts than that nothing changes. No figure is a no.
    """
    figures = {figure.name: figure for figure in head.figures}
    if head.model_type == ModelType.PAIRING.value:
        found, least = figures.get("pairing_accuracy"), figures.get("pairing_majority_share")
        return found is not None and least is not None and found.low > least.value
    found, most = figures.get("next_emotion_rmse"), figures.get("next_emotion_unchanged_rmse")
    return found is not None and most is not None and found.high < most.value


def _is_about(figure: Estimate, kind: ModelType) -> bool:
    return figure.name.startswith("pairing_") == (kind is ModelType.PAIRING)
