"""``UserModel`` with linear heads: what leaves the trust boundary of how people respond.

A value head gives a signal type's mean as low + (high - low) sigmoid(w_s . x), x the public features
of context and action. A presence head gives the probability, by action, that a type whose silence
means missing is present at all; the reward is then the loop's own weighted mean over the types that
are. How contexts move and journeys end are public constants, not learned.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from scipy.special import expit, logit

from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldFixArgument, ShouldFixLoopSpec, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import Responses
from synthetic.features import INTERCEPT_SCALE, FeatureMap, missing_types

FORMAT = 1
RETENTION = 0.6
"""Share of a person's distance from their resting context that is left at the next decision."""
DRIFT = 0.15
"""Standard deviation of what each moving dimension gains between decisions."""
CONCENTRATION = 4.0
"""alpha + beta of the Beta distribution that a signal is drawn from, around its mean."""
_LEAST_SHARE = 1e-4
_MOST_MISSING = 12
"""Reward sums over all patterns of presence, 2 to this power at most."""


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """What a released model says of itself; all public.

    ``interacting``: dimensions of the context that move between decisions. ``noise_deviation``:
    standard deviation that one night's noise alone gives a weight.
    """

    release_id: str
    loop: str
    encoder: str
    actions: tuple[str, ...]
    signals: tuple[str, ...]
    interacting: tuple[int, ...]
    sigma: float
    clip: float
    steps: int
    mu_squared: float
    learning_rate: float
    people_expected: int
    noise_deviation: float
    warm_start: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Released parameters: ``values`` (S, F), ``presences`` (M, 1 + A)."""

    values: Float
    presences: Float


def cold_weights(spec: LoopSpec, features: FeatureMap) -> Weights:
    """Where a cold fit starts, from the specification alone.

    Every signal is in the middle of its range, except where a success metric declares a baseline of
    its share over all actions: a rare signal would need many noisy steps to get down to its level.
    """
    values = np.zeros((features.signals, features.width))
    for metric in spec.success_metrics:
        if metric.signal in spec.signal_names and metric.unit == "share" and not metric.action_kind:
            signal = spec.signal(metric.signal)
            share = (metric.baseline - signal.low) / (signal.high - signal.low)
            start = logit(min(max(share, _LEAST_SHARE), 1.0 - _LEAST_SHARE))
            values[spec.signal_names.index(metric.signal), 0] = start / INTERCEPT_SCALE
    return Weights(values, np.zeros((features.presences, features.presence_width)))


class LinearUserModel:
    """A released user model; see the module for its formulas.

    Args:
        spec: the loop; its ranges, weights and silences decide rewards, ``training.journey_length``
            the chance 1 / length that a journey ends after a decision.
        features: the public features.
        weights: the released parameters.
        facts: what the release says of itself.

    Raises:
        ShouldFixLoopSpec: more types may be missing than rewards can be summed over.
    """

    def __init__(
        self, spec: LoopSpec, features: FeatureMap, weights: Weights, facts: ReleaseFacts
    ) -> None:
        self.features, self.weights, self.facts = features, weights, facts
        self._missing = np.array(missing_types(spec), dtype=np.int64)
        if len(self._missing) > _MOST_MISSING:
            raise ShouldFixLoopSpec(
                f"{len(self._missing)} signal types have silence: missing, more than {_MOST_MISSING}.",
                "Let silence mean zero for some of them.",
            )
        ranges = [(-1.0, 1.0) if s.two_sided else (s.low, s.high) for s in spec.signals]
        self._low = np.array([low for low, _ in ranges])
        self._span = np.array([high - low for low, high in ranges])
        self._weight = np.array([s.weight for s in spec.signals])
        self._patterns = self._present_patterns()
        self._hazard = 1.0 / spec.training.journey_length
        self._moving = np.zeros(features.context.shape[1], dtype=np.bool_)
        self._moving[list(facts.interacting)] = True

    @property
    def release_id(self) -> str:
        return self.facts.release_id

    @property
    def parameters(self) -> int:
        return self.weights.values.size + self.weights.presences.size

    def expected_signals(self, context: Float32, action: Int) -> Float:
        """(n, S) expected mean of each type, given that it is present."""
        return self._low + self._span * self._shares(context, action)[0]

    def presence(self, action: Int) -> Float:
        """(n, S) probability that each type counts; 1 where silence means zero."""
        blank = np.zeros((len(action), self.features.context.shape[1]), dtype=np.float32)
        return self._shares(blank, action)[1]

    def expected_reward(self, context: Float32, action: Int) -> Float:
        """(n,) sum over the patterns of presence of their probability times the weighted mean.

        Types are present independently of each other given the action. A pattern without any type
        has no reward: the others are renormalised.
        """
        shares, present = self._shares(context, action)
        means = self._low + self._span * shares
        total, mass = np.zeros(len(means)), np.zeros(len(means))
        for pattern in self._patterns:
            chance = np.where(pattern, present, 1.0 - present)[:, self._missing].prod(axis=1)
            weight = self._weight * pattern
            total += chance * (means @ weight) / weight.sum()
            mass += chance
        return total / mass

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        """Sample signals (Beta around their means), presence, the next context and the end.

        A dimension moves if it interacts with actions; it then follows an autoregression around the
        resting context, x' = r + RETENTION (x - r) + DRIFT e. Everything else stays as it rests, and
        so does a dimension that rests at exactly 0 or 1, an indicator.
        """
        shares, present = self._shares(context, action)
        shape = np.clip(shares, 1e-3, 1.0 - 1e-3) * CONCENTRATION
        signals = self._low + self._span * rng.beta(shape, CONCENTRATION - shape)
        counts = rng.random(present.shape) < present
        silent = ~counts.any(axis=1)
        counts[silent, present[silent].argmax(axis=1)] = True
        weight = self._weight * counts
        moves = self._moving & (resting != 0.0) & (resting != 1.0)
        pulled = resting + RETENTION * (context - resting)
        moved = np.clip(pulled + DRIFT * rng.standard_normal(resting.shape), -1.0, 1.0)
        return Responses(
            signals=signals,
            reward=(signals * weight).sum(axis=1) / weight.sum(axis=1),
            context=np.where(moves, moved, resting).astype(np.float32),
            ended=rng.random(len(action)) < self._hazard,
            present=counts,
        )

    def _shares(self, context: Float32, action: Int) -> tuple[Float, Float]:
        """((n, S) position of each mean within its range, (n, S) probability of presence)."""
        features, presence = self.features.of(context, action)
        present = np.ones((len(action), len(self._weight)))
        present[:, self._missing] = expit(presence @ self.weights.presences.T)
        shares: Float = expit(features @ self.weights.values.T)
        return shares, present

    def _present_patterns(self) -> tuple[Bool, ...]:
        patterns = []
        for chosen in itertools.product((False, True), repeat=len(self._missing)):
            pattern = np.ones(len(self._weight), dtype=np.bool_)
            pattern[self._missing] = chosen
            if pattern.any():
                patterns.append(pattern)
        return tuple(patterns)


def save_user_model(
    path: Path | str, features: FeatureMap, weights: Weights, facts: ReleaseFacts
) -> Path:
    """Write a release as safetensors with its facts; the same release gives the same bytes."""
    tensors = {
        "values": np.ascontiguousarray(weights.values),
        "presences": np.ascontiguousarray(weights.presences),
        "context_projection": np.ascontiguousarray(features.context),
        "interacting_projection": np.ascontiguousarray(features.interacting),
    }
    metadata = {"everloop": json.dumps(asdict(facts), sort_keys=True)}
    return write_atomically(save(tensors, metadata=metadata), Path(path))


def load_user_model(path: Path | str, spec: LoopSpec) -> LinearUserModel:
    """Read what ``save_user_model`` wrote.

    Raises:
        ShouldRestoreArtefact: the file is missing, damaged or of another format.
        ShouldFixArgument: it was released for other actions or signals than the loop's.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = _facts(json.loads(file.metadata()["everloop"]))
        weights = Weights(tensors["values"], tensors["presences"])
        features = FeatureMap(
            actions=len(facts.actions),
            signals=len(facts.signals),
            presences=len(weights.presences),
            context=tensors["context_projection"],
            interacting=tensors["interacting_projection"],
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no user model ({problem}).", "Rerun fit_user_model."
        ) from problem
    shapes = (features.signals, features.width), (features.presences, features.presence_width)
    if (weights.values.shape, weights.presences.shape) != shapes or not (
        np.isfinite(weights.values).all() and np.isfinite(weights.presences).all()
    ):
        raise ShouldRestoreArtefact(
            f"{path} holds a user model whose weights do not fit its features.",
            "Rerun fit_user_model.",
        )
    given = (facts.loop, facts.actions, facts.signals, features.presences)
    if given != (spec.name, spec.action_ids, spec.signal_names, len(missing_types(spec))):
        raise ShouldFixArgument(
            f"User model {facts.release_id} was released for loop {facts.loop!r} with "
            f"{len(facts.actions)} actions and signals {', '.join(facts.signals)}, not for "
            f"{spec.name!r} as it is now.",
            "Fit the user model again under the present specification.",
        )
    return LinearUserModel(spec, features, weights, facts)


def _facts(document: Mapping[str, object]) -> ReleaseFacts:
    if document.get("format") != FORMAT:
        raise ValueError(f"format {document.get('format')!r}, not {FORMAT}")
    lists = {name: tuple(value) for name, value in document.items() if isinstance(value, list)}
    return ReleaseFacts(**{**document, **lists})  # type: ignore[arg-type]
