"""The pairing and the emotion model as ONNX, from a released user model alone, checked before kept.

A released user model is the output of a private mechanism, so its heads are too. Each file says which
loop, encoder, catalogue and release it belongs to.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import EncodingLayout, Float, Float32, Int
from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelType, Provenance
from synthetic.heads.answers import answers_of
from synthetic.heads.bilinear import bilinear_features
from synthetic.heads.graph import FLOAT, INT64, Graph
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.mlp import MlpUserModel

TOLERANCE = 1e-5
STATES = 1000
LOOP_KEY = "everloop.loop"
ENCODER_KEY = "everloop.encoder"
ACTIONS_KEY = "everloop.actions"
VERSION_KEY = "everloop.version"
PROVENANCE_KEY = "everloop.provenance"
DESCRIPTORS_KEY = "everloop.descriptors"
PAIRINGS_KEY = "everloop.pairings"
MOVING_KEY = "everloop.moving"
SIGNALS_KEY = "everloop.signals"
RELEASE_KEY = "everloop.user_model"


@dataclass(frozen=True, slots=True)
class ExportedHead:
    """One file: ``version`` is ``<loop>-<model type>-<first 16 digits of the weights' SHA-256>``,
    ``error`` the largest difference to the user model on 1,000 random states."""

    model_type: ModelType
    path: Path
    sha256: str
    version: str
    error: float


@dataclass(frozen=True, slots=True)
class ExportedHeads:
    """``None`` where the release has no such head; ``left_out`` says why."""

    pairing: ExportedHead | None
    emotion: ExportedHead | None
    left_out: tuple[str, ...] = ()


def export_heads(
    spec: LoopSpec, model: LinearUserModel | MlpUserModel, layout: EncodingLayout, folder: Path
) -> ExportedHeads:
    """Write ``pairing.onnx`` and ``emotion.onnx`` into a folder.

    ``pairing.onnx``: context (1 or K, d) and descriptors (K, Z) -> scores (K,), the mean over the P
    pairing actions of the expected reward; acceptance (K, P), reward (K, P) and signals (K, P, S).
    ``emotion.onnx``: context (N, d), action (N,) and, if known, resting (1 or N, d), where people's
    contexts return to -> next_emotion (N, m), the mean of the next value of the moving dimensions, and
    signals (N, S). Where resting is NaN or not given, people are where they rest.

    Args:
        spec: the loop.
        model: a release.
        layout: of the encoder whose states it reads.
        folder: made if it is missing.

    Raises:
        ShouldFixArgument: the model reads states of another encoder.
        ShouldRestoreArtefact: a file answers differently than the model by more than 1e-5; it is not
            kept.
    """
    if (model.facts.encoder, model.features.context.shape[1]) != (layout.encoder, layout.width):
        raise ShouldFixArgument(
            f"User model {model.release_id} reads states of encoder {model.facts.encoder!r}, not of "
            f"{layout.encoder!r}.",
            "Pass the layout of the encoder that it was fitted with.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    left_out = []
    pairing = emotion = None
    if model.features.descriptors and len(pairing_actions(spec)):
        pairing = _kept(spec, model, ModelType.PAIRING, folder)
    else:
        left_out.append("The user model reads no descriptors of partners: no pairing model.")
    if len(model.features.moving):
        emotion = _kept(spec, model, ModelType.EMOTION, folder)
    else:
        left_out.append("The user model has no next contexts: no emotion model.")
    return ExportedHeads(pairing, emotion, tuple(left_out))


def pairing_actions(spec: LoopSpec) -> Int:
    """(P,) positions of the actions that suggest a pairing."""
    kinds = [action.kind is ActionKind.SUGGEST_PAIRING for action in spec.actions]
    return np.flatnonzero(kinds)


def _kept(
    spec: LoopSpec, model: LinearUserModel | MlpUserModel, kind: ModelType, folder: Path
) -> ExportedHead:
    digest = hashlib.sha256(np.ascontiguousarray(model.heads.flat).tobytes()).hexdigest()
    version = f"{spec.name}-{kind.value}-{digest[:16]}"
    made = _pairing if kind is ModelType.PAIRING else _emotion
    data = made(spec, model, _metadata(spec, model, version))
    checked = _pairing_error if kind is ModelType.PAIRING else _emotion_error
    error = checked(spec, model, data)
    if not error <= TOLERANCE:
        raise ShouldRestoreArtefact(
            f"The exported {kind.value} model differs from user model {model.release_id} by {error:g}, "
            f"more than {TOLERANCE:g}.",
            "Export again with the pinned versions of onnx and onnxruntime.",
        )
    path = write_atomically(data, folder / f"{kind.value}.onnx")
    return ExportedHead(kind, path, hashlib.sha256(data).hexdigest(), version, error)


def _metadata(
    spec: LoopSpec, model: LinearUserModel | MlpUserModel, version: str
) -> dict[str, str]:
    candidates = () if spec.candidates is None else spec.candidates.descriptors
    return {
        LOOP_KEY: spec.name,
        ENCODER_KEY: model.facts.encoder,
        ACTIONS_KEY: json.dumps(spec.action_ids),
        VERSION_KEY: version,
        PROVENANCE_KEY: Provenance.PRIVATE_RELEASE.value,
        RELEASE_KEY: model.release_id,
        DESCRIPTORS_KEY: json.dumps(candidates),
        PAIRINGS_KEY: json.dumps([spec.action_ids[a] for a in pairing_actions(spec)]),
        MOVING_KEY: json.dumps(model.features.moving.tolist()),
        SIGNALS_KEY: json.dumps(spec.signal_names),
    }


def _pairing(
    spec: LoopSpec, model: LinearUserModel | MlpUserModel, metadata: dict[str, str]
) -> bytes:
    constants, chosen = bilinear_features(model.features), pairing_actions(spec)
    d, z = model.features.context.shape[1], model.features.descriptors
    graph = Graph("pairing")
    context, descriptors = graph.double("context"), graph.double("descriptors")
    # (P, rows, X), the state's part broadcast over the candidates
    seen = graph.add("MatMul", context, graph.constant(constants.linear[chosen]))
    seen = graph.add("Add", seen, graph.constant(constants.one[chosen][:, None]))
    kinds = graph.add("Gather", context, graph.constant(constants.kind[chosen]), axis=1)
    length = graph.add("Gather", context, graph.constant(np.array([constants.length])), axis=1)
    again = graph.reshaped(
        graph.add("Transpose", graph.add("Mul", kinds, length), perm=[1, 0]), len(chosen), -1, 1
    )
    repeated = graph.add("Mul", again, graph.constant(constants.repeated[chosen][:, None]))
    seen = graph.add("Add", seen, repeated)
    partner = graph.add("MatMul", descriptors, graph.constant(constants.partner[chosen]))
    products = graph.add(
        "Mul", graph.reshaped(descriptors, -1, z, 1), graph.reshaped(context, -1, 1, d)
    )
    met = graph.add(
        "MatMul", graph.reshaped(products, -1, z * d), graph.constant(constants.met[chosen])
    )
    seen = graph.add("Add", seen, graph.add("Add", partner, met))
    found = answers_of(graph, spec, model, seen)
    acceptance, reward, signals = (
        graph.add("Transpose", name, perm=[1, 0, 2])
        for name in (found.acceptance, found.reward, found.signals)
    )
    p, s = len(chosen), len(spec.signals)
    reward = graph.reshaped(reward, -1, p)
    scores = graph.add("ReduceMean", reward, graph.constant(np.array([1])), keepdims=0)
    return graph.model(
        {"context": (FLOAT, ["states", d]), "descriptors": (FLOAT, ["candidates", z])},
        {
            "scores": (scores, ["candidates"]),
            "acceptance": (graph.reshaped(acceptance, -1, p), ["candidates", p]),
            "reward": (reward, ["candidates", p]),
            "signals": (signals, ["candidates", p, s]),
        },
        metadata,
    )


def _emotion(
    spec: LoopSpec, model: LinearUserModel | MlpUserModel, metadata: dict[str, str]
) -> bytes:
    constants, d = bilinear_features(model.features), model.features.context.shape[1]
    size = constants.one.shape[1]
    graph = Graph("emotion")
    context, resting = graph.double("context"), graph.double("resting")

    def of_action(table: Float | Int) -> str:
        return graph.add("Gather", graph.constant(table), "action", axis=0)

    moved = graph.add("MatMul", graph.reshaped(context, -1, 1, d), of_action(constants.linear))
    seen = graph.add("Add", graph.reshaped(moved, -1, size), of_action(constants.one))
    share = graph.add(
        "GatherElements", context, graph.reshaped(of_action(constants.kind), -1, 1), axis=1
    )
    length = graph.part(context, constants.length, constants.length + 1)
    again = graph.add("Mul", graph.add("Mul", share, length), of_action(constants.repeated))
    rests = graph.add("Where", graph.add("IsNaN", resting), context, resting)
    away = graph.add("Sub", rests, context)
    rested = graph.add("MatMul", away, graph.constant(constants.rested))
    seen = graph.add("Add", graph.add("Add", seen, again), rested)
    found = answers_of(graph, spec, model, seen)
    m, s = len(model.features.moving), len(spec.signals)
    return graph.model(
        {
            "context": (FLOAT, ["states", d]),
            "action": (INT64, ["states"]),
            "resting": (FLOAT, ["known", d]),
        },
        {
            "next_emotion": (found.following, ["states", m]),
            "signals": (found.signals, ["states", s]),
        },
        metadata,
        {"resting": np.full((1, d), np.nan, np.float32)},
    )


def _states(model: LinearUserModel | MlpUserModel) -> tuple[Float32, np.random.Generator]:
    rng = np.random.default_rng(20)
    width = model.features.context.shape[1]
    return rng.uniform(-1.0, 1.0, (STATES, width)).astype(np.float32), rng


def _pairing_error(spec: LoopSpec, model: LinearUserModel | MlpUserModel, data: bytes) -> float:
    context, rng = _states(model)
    shape = (STATES, model.features.descriptors)
    slate = rng.uniform(-1.0, 1.0, shape).astype(np.float32)
    session, names = _session(data), ["scores", "acceptance", "reward", "signals"]
    found = session.run(names, {"context": context, "descriptors": slate})
    rewards = []
    gap = 0.0
    for place, action in enumerate(pairing_actions(spec)):
        chosen = np.full(STATES, action)
        rewards.append(model.expected_reward(context, chosen, slate))
        pairs = (
            (found[1][:, place], model.acceptance(context, chosen, slate)),
            (found[2][:, place], rewards[-1]),
            (found[3][:, place], model.expected_signals(context, chosen, slate)),
        )
        gap = max(gap, *(float(np.abs(a - b).max()) for a, b in pairs))
    # one state and many candidates, as serving asks
    one = session.run(["scores"], {"context": context[:1], "descriptors": slate})[0]
    wanted = np.mean(
        [
            model.expected_reward(np.repeat(context[:1], STATES, axis=0), np.full(STATES, a), slate)
            for a in pairing_actions(spec)
        ],
        axis=0,
    )
    gap = max(gap, float(np.abs(one - wanted).max()))
    return max(gap, float(np.abs(found[0] - np.mean(rewards, axis=0)).max()))


def _emotion_error(spec: LoopSpec, model: LinearUserModel | MlpUserModel, data: bytes) -> float:
    context, rng = _states(model)
    action = rng.integers(0, len(spec.actions), STATES)
    resting = rng.uniform(-1.0, 1.0, context.shape).astype(np.float32)
    names, given = ["next_emotion", "signals"], {"context": context, "action": action}
    session = _session(data)
    moved, signals = session.run(names, given)
    (returned,) = session.run(names[:1], given | {"resting": resting})
    gaps = (
        moved - model.next_context(context, action),
        returned - model.next_context(context, action, resting),
        signals - model.expected_signals(context, action),
    )
    return max(float(np.abs(gap).max()) for gap in gaps)


def _session(data: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
