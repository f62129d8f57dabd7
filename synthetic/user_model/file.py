"""Released user models as files: safetensors with the release's facts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model.facts import ReleaseFacts, facts_from
from synthetic.user_model.features import FeatureMap, missing_types
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.mlp import MlpUserModel, MlpWeights, inputs_width
from synthetic.user_model.uncertainty import Uncertainty
from synthetic.user_model.weights import Weights, shapes
from synthetic.user_model.widest import described_actions

Tensors = dict[str, "NDArray[np.generic]"]
_UNCERTAINTIES = ("noise", "sampling")


def save_user_model(
    path: Path | str,
    features: FeatureMap,
    weights: Weights | MlpWeights,
    facts: ReleaseFacts,
    uncertainty: Uncertainty | None = None,
) -> Path:
    """Write a release with its facts; the same release gives the same bytes.

    Covariances are (p, p) float32.
    """
    linear = weights if isinstance(weights, Weights) else weights.linear
    tensors: Tensors = {name: getattr(linear, name) for name in shapes(features)}
    if isinstance(weights, MlpWeights):
        tensors |= {"inner": weights.inner, "outer": weights.outer}
    tensors |= _features_as_tensors(features)
    if uncertainty is not None:
        for name in _UNCERTAINTIES:
            tensors[f"{name}_covariance"] = getattr(uncertainty, name).astype(np.float32)
    metadata = {"everloop": json.dumps(asdict(facts), sort_keys=True)}
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return write_atomically(save(contiguous, metadata=metadata), Path(path))


@dataclass(frozen=True, slots=True, eq=False)
class StoredRelease:
    """What a file holds, whatever loop it was released for."""

    features: FeatureMap
    weights: Weights | MlpWeights
    facts: ReleaseFacts
    uncertainty: Uncertainty | None


def read_release(path: Path | str) -> StoredRelease:
    """Read what ``save_user_model`` wrote.

    Raises:
        ShouldRestoreArtefact: the file is missing, damaged or of another format.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = facts_from(json.loads(file.metadata()["everloop"]))
        features = _features_from(tensors, len(facts.signals))
        weights = Weights(**{name: tensors[name] for name in shapes(features)})
        deep = MlpWeights(weights, tensors["inner"], tensors["outer"]) if _is_deep(facts) else None
        uncertainty = _uncertainty_from(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, IndexError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no user model ({problem}).", "Rerun fit_user_model."
        ) from problem
    fitting = all(getattr(weights, n).shape == shape for n, shape in shapes(features).items())
    if deep is not None:
        fitting = fitting and _fits(deep, features)
    if not fitting or not np.isfinite((deep or weights).flat).all():
        raise ShouldRestoreArtefact(
            f"{path} holds a user model whose weights do not fit its features.",
            "Rerun fit_user_model.",
        )
    return StoredRelease(features, deep or weights, facts, uncertainty)


def load_user_model(path: Path | str, spec: LoopSpec) -> LinearUserModel | MlpUserModel:
    """The user model that a file holds.

    Raises:
        ShouldRestoreArtefact: the file is missing, damaged or of another format.
        ShouldFixArgument: it was released for other actions, other features of them, other descriptors
            of partners or other signals than the loop's.
    """
    stored = read_release(path)
    features, facts, weights = stored.features, stored.facts, stored.weights
    given = (facts.loop, facts.actions, facts.signals, features.presences)
    if given != (spec.name, spec.action_ids, spec.signal_names, len(missing_types(spec))):
        raise ShouldFixArgument(
            f"User model {facts.release_id} was released for loop {facts.loop!r} with "
            f"{len(facts.actions)} actions and signals {', '.join(facts.signals)}, not for "
            f"{spec.name!r} as it is now.",
            "Fit the user model again under the present specification.",
        )
    candidates = 0 if spec.candidates is None else len(spec.candidates.descriptors)
    described = np.array_equal(features.described, described_actions(spec))
    if not described or features.descriptors not in (0, candidates):
        raise ShouldFixArgument(
            f"User model {facts.release_id} was released for other features of actions or descriptors "
            f"of partners than {spec.name!r} declares now.",
            "Fit the user model again under the present specification.",
        )
    if isinstance(weights, MlpWeights):
        return MlpUserModel(spec, features, weights, facts, stored.uncertainty)
    return LinearUserModel(spec, features, weights, facts, stored.uncertainty)


def _is_deep(facts: ReleaseFacts) -> bool:
    if facts.kind not in ("linear", "mlp"):
        raise ValueError(f"kind {facts.kind!r} is neither linear nor mlp")
    return facts.kind == "mlp"


def _fits(weights: MlpWeights, features: FeatureMap) -> bool:
    units = len(weights.inner)
    shape = (units, inputs_width(features)), (features.heads, units)
    return units > 0 and (weights.inner.shape, weights.outer.shape) == shape


def _features_as_tensors(features: FeatureMap) -> Tensors:
    history = () if features.history is None else features.history
    return {
        "kinds": features.kinds,
        "presence_heads": np.array([features.presences], dtype=np.int64),
        "context_matrix": features.context,
        "own_matrix": features.own,
        "interacting_matrix": features.interacting,
        "moving": features.moving,
        "history": np.array(history, dtype=np.int64),
        "by_action": np.array([features.by_action]),
        "described_matrix": features.described,
        "descriptors": np.array([features.descriptors], dtype=np.int64),
        "meeting": np.array([features.meeting]),
        "each": np.array([features.each]),
    }


def _features_from(tensors: Tensors, signals: int) -> FeatureMap:
    history = tuple(int(v) for v in tensors["history"])
    return FeatureMap(
        kinds=tensors["kinds"].astype(np.int64),
        signals=signals,
        presences=int(tensors["presence_heads"][0]),
        context=tensors["context_matrix"].astype(np.float64),
        own=tensors["own_matrix"].astype(np.float64),
        interacting=tensors["interacting_matrix"].astype(np.float64),
        moving=tensors["moving"].astype(np.int64),
        history=(history[0], history[1]) if history else None,
        by_action=bool(tensors["by_action"][0]),
        described=tensors["described_matrix"].astype(np.float64),
        descriptors=int(tensors["descriptors"][0]),
        meeting=bool(tensors["meeting"][0]),
        each=bool(tensors["each"][0]),
    )


def _uncertainty_from(tensors: Tensors) -> Uncertainty | None:
    found = [tensors.get(f"{name}_covariance") for name in _UNCERTAINTIES]
    if found[0] is None or found[1] is None:
        return None
    return Uncertainty(found[0].astype(np.float64), found[1].astype(np.float64))
