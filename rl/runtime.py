"""Exported policies, served by ONNX Runtime: light to import, strict about what it loads.

The file's own metadata name the loop, the encoder and the catalogue that the policy was trained for,
so a checkpoint of another encoder or of a changed catalogue is refused before it decides anything.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort

from everloop.contracts.datasets import Bool, Float, Float32
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import PolicyOutput, Provenance, States
from rl.encoders.catalogue import ActionCatalogue
from rl.encoders.context import layout
from rl.onnx_file import read_verified, session_of

LOOP_KEY = "everloop.loop"
ENCODER_KEY = "everloop.encoder"
ACTIONS_KEY = "everloop.actions"
CATALOGUE_KEY = "everloop.catalogue"
VERSION_KEY = "everloop.version"
LEARNER_KEY = "everloop.learner"
PROVENANCE_KEY = "everloop.provenance"

INPUTS = ("context", "mask", "epsilon")
OUTPUTS = ("logits", "propensity", "value")
SCORE, TASTE = "score", "taste"
"""Outputs that not every policy has: scores before the mask, and what a state makes of each feature of an
action."""

INVALID_LOGIT = -1e9
"""Logit of an invalid action: its probability underflows to exactly 0."""

_ROWS_PER_CALL = 16_384


class OnnxPolicy:
    """A policy behind the ``Policy`` port. Thread-safe; one core per call.

    Attributes:
        loop: name of the loop it decides for.
        actions: ids of its catalogue, in the order of ``PolicyOutput``'s columns.
        width: d, dimensions of a state.
        catalogue: version of its ``ActionCatalogue``, "" for a file that does not say.
        features: F, numbers of an action that it reads; 0: it knows actions by their ids alone.
        learner: what learned it; "ppo" for a file that does not say.
        provenance: what it was learned from; private releases for a file that does not say, since
            only PPO on private releases wrote such files.
    """

    def __init__(self, session: ort.InferenceSession, name: str) -> None:
        meta = session.get_modelmeta().custom_metadata_map
        try:
            self._version = str(meta[VERSION_KEY])
            self._encoder = str(meta[ENCODER_KEY])
            self.loop = str(meta[LOOP_KEY])
            self.actions: tuple[str, ...] = tuple(json.loads(meta[ACTIONS_KEY]))
            self.catalogue = str(meta.get(CATALOGUE_KEY, ""))
            self.learner = str(meta.get(LEARNER_KEY, "ppo"))
            self.provenance = Provenance(meta.get(PROVENANCE_KEY, Provenance.PRIVATE_RELEASE))
            shapes = {tensor.name: tensor.shape for tensor in session.get_inputs()}
            self.width = int(shapes["context"][1])
            self._outputs = {tensor.name: tensor.shape for tensor in session.get_outputs()}
            self.features = int(self._outputs[TASTE][1]) if TASTE in self._outputs else 0
        except (KeyError, ValueError, TypeError) as problem:
            raise ShouldRestoreArtefact(
                f"{name} is no exported policy (it lacks {problem}).", "Export the policy again."
            ) from problem
        self._session = session

    @property
    def version(self) -> str:
        """``<loop>-<first 16 digits of the weights' SHA-256>``."""
        return self._version

    @property
    def encoder(self) -> str:
        """Version of the encoder whose states it reads."""
        return self._encoder

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        """Propensities (1 - epsilon) pi(a | s) + epsilon / |valid|, 0 on invalid actions.

        Raises:
            ShouldFixArgument: a wrong shape, a state with NaN, an epsilon outside [0, 1], or a
                state without any valid action.
            ShouldRestoreArtefact: the model itself answered NaN or infinity.
        """
        context, mask = self._checked(states, epsilon)
        share = np.array([epsilon], dtype=np.float32)
        parts = [
            self._session.run(
                list(OUTPUTS),
                {
                    "context": context[start : start + _ROWS_PER_CALL],
                    "mask": mask[start : start + _ROWS_PER_CALL],
                    "epsilon": share,
                },
            )
            for start in range(0, len(context), _ROWS_PER_CALL)
        ]
        if not parts:
            return PolicyOutput(np.zeros(mask.shape), np.zeros(mask.shape), np.zeros(0))
        logits, propensity, value = (
            np.concatenate([part[i] for part in parts]).astype(np.float64) for i in range(3)
        )
        if not (np.isfinite(logits).all() and np.isfinite(value).all()):
            raise ShouldRestoreArtefact(
                f"Policy {self.version} answered NaN or infinity.", "Roll back to another model."
            )
        propensity /= propensity.sum(axis=1, keepdims=True)
        return PolicyOutput(logits, propensity, value)

    def score(self, context: Float32) -> Float:
        """(n, A) scores of the catalogue's actions before the mask; softmax over valid ones is pi.

        Raises:
            ShouldFixArgument: a wrong shape or NaN, or the policy gives no scores.
            ShouldRestoreArtefact: the model itself answered NaN or infinity.
        """
        return self.answer_of(context, SCORE)

    def score_actions(self, context: Float32, features: Float32) -> Float:
        """(n, K) scores of K actions from their features (K, F) alone, for actions never seen.

        Args:
            context: (n, d) states.
            features: ``ActionCatalogue(spec, actions).features`` under the policy's loop.

        Raises:
            ShouldFixArgument: a wrong shape or NaN, or the policy reads no features of actions.
            ShouldRestoreArtefact: the model itself answered NaN or infinity.
        """
        wrong = features.ndim != 2 or features.shape[1] != self.features
        if wrong or not self.features or not np.isfinite(features).all():
            raise ShouldFixArgument(
                f"Features of shape {features.shape} do not fit policy {self.version}, which reads "
                f"{self.features} finite numbers an action.",
                "Describe actions by ActionCatalogue of the loop that the policy was trained for.",
            )
        return self.answer_of(context, TASTE) @ features.astype(np.float64).T

    def answer_of(self, context: Float32, output: str) -> Float:
        """(n, ...) one of the outputs that not every policy has, of (n, d) states."""
        if output not in self._outputs:
            raise ShouldFixArgument(
                f"Policy {self.version} of learner {self.learner!r} has no output {output!r}.",
                "Ask a policy that PPO learned.",
            )
        mask = np.ones((len(context), len(self.actions)), dtype=np.bool_)
        context, mask = self._checked(States(context, mask), 0.0)
        feed = {"context": context, "mask": mask, "epsilon": np.zeros(1, dtype=np.float32)}
        (found,) = self._session.run([output], feed)
        if not np.isfinite(found).all():
            raise ShouldRestoreArtefact(
                f"Policy {self.version} answered NaN or infinity.", "Roll back to another model."
            )
        return np.asarray(found, dtype=np.float64)

    def _checked(self, states: States, epsilon: float) -> tuple[Float32, Bool]:
        context = np.ascontiguousarray(states.context, dtype=np.float32)
        mask = np.ascontiguousarray(states.mask, dtype=np.bool_)
        if not 0.0 <= epsilon <= 1.0:
            raise ShouldFixArgument(f"epsilon={epsilon} is outside [0, 1].")
        if context.ndim != 2 or context.shape[1] != self.width:
            raise ShouldFixArgument(
                f"States of shape {context.shape} do not fit policy {self.version}, which reads "
                f"(n, {self.width}) from encoder {self.encoder}.",
                "Encode with the specification that the policy was trained for.",
            )
        if mask.shape != (len(context), len(self.actions)):
            raise ShouldFixArgument(
                f"A mask of shape {mask.shape} does not fit {len(context)} states and "
                f"{len(self.actions)} actions."
            )
        finite = np.isfinite(context).all(axis=1)
        if not finite.all():
            raise ShouldFixArgument(f"State {int(np.argmin(finite))} holds NaN or infinity.")
        decidable = mask.any(axis=1)
        if not decidable.all():
            raise ShouldFixArgument(
                f"State {int(np.argmin(decidable))} has no valid action.",
                "Keep an action such as no_action valid at all times.",
            )
        return context, mask


def load_policy(path: Path, sha256: str | None = None, spec: LoopSpec | None = None) -> OnnxPolicy:
    """Load an exported policy; nothing is parsed before its checksum is verified.

    Args:
        path: the ONNX file.
        sha256: its checksum, if known; the bytes that are checked are the bytes that are loaded.
        spec: the loop that it shall serve; its encoder and catalogue must be the policy's.

    Raises:
        ShouldRestoreArtefact: the file is missing, differs from ``sha256``, or is no policy.
        ShouldFixArgument: the policy was trained for another loop, encoder or catalogue.
    """
    data = read_verified(Path(path), sha256, "Fetch or export the policy again.")
    session = session_of(data, str(path), "Export the policy again.")
    policy = OnnxPolicy(session, str(path))
    if spec is not None:
        _require_match(policy, spec)
    return policy


def _require_match(policy: OnnxPolicy, spec: LoopSpec) -> None:
    encoding = layout(spec)
    wanted = {
        "loop": (policy.loop, spec.name),
        "encoder": (policy.encoder, encoding.encoder),
        "number of state dimensions": (policy.width, encoding.width),
        "catalogue": (policy.actions, spec.action_ids),
    }
    if policy.catalogue:
        described = (policy.catalogue, ActionCatalogue(spec).version)
        wanted["catalogue (ids, kinds and features of actions)"] = described
    for what, (trained, asked) in wanted.items():
        if trained != asked:
            raise ShouldFixArgument(
                f"Policy {policy.version} was trained for {what} {trained!s:.200}, but the "
                f"specification has {asked!s:.200}.",
                "Train a policy for this specification, or serve it under the one it belongs to.",
            )
