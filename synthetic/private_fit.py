"""The private mechanism of the user model: full-batch noisy gradient descent, clipped per person.

Step t of T, with g_i the gradient of person i's loss over all heads jointly:

    w <- w - rate (sum_i g_i min(1, C / |g_i|) + sigma C z_t) / N,        z_t ~ N(0, I),

N the public number of expected people, never the exact count. Adding or removing one person moves
the sum by at most C, so T steps cost mu^2 = T / sigma^2 (Dong, Roth, Su 2022). A person's loss is the
mean over their episodes of the cross-entropies of signals (their position within the declared range)
and of presence. Opacus computes per-person gradients, clips and sums; virtual batches bound memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import GaussianMechanism
from synthetic.features import FeatureMap, missing_types
from synthetic.linear_user_model import Weights
from synthetic.noise import Noise
from synthetic.people import PeopleEpisodes

BATCH_PEOPLE = 2_000
Progress = Callable[[int, int], None]


def private_fit(
    spec: LoopSpec,
    features: FeatureMap,
    people: PeopleEpisodes,
    start: Weights,
    mechanism: GaussianMechanism,
    learning_rate: float,
    noise: Noise,
    batch_people: int = BATCH_PEOPLE,
    progress: Progress | None = None,
) -> Weights:
    """Run the mechanism; its output is all that may leave.

    Args:
        spec: signal ranges, and ``privacy.people_expected``.
        features: public features.
        people: who takes part, with the episodes that count.
        start: weights to start from, themselves released or constant.
        mechanism: sigma, clip and steps that were paid for.
        learning_rate: the rate of the formula.
        noise: standard normals; a release's own sealed stream, except in tests.
        batch_people: people per virtual batch; changes memory, not the result.
        progress: called with (steps done, steps).

    Raises:
        ShouldFixArgument: there is nobody, or no weight moved.
    """
    if not len(people):
        raise ShouldFixArgument("A private fit without people.", "Reserve for at least one person.")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _descend(
            spec, features, people, start, mechanism, learning_rate, noise, batch_people, progress
        )
    finally:
        torch.set_num_threads(threads)


def _descend(
    spec: LoopSpec,
    features: FeatureMap,
    people: PeopleEpisodes,
    start: Weights,
    mechanism: GaussianMechanism,
    learning_rate: float,
    noise: Noise,
    batch_people: int,
    progress: Progress | None,
) -> Weights:
    heads = _Heads(features, start)
    model = GradSampleModule(heads, batch_first=True, loss_reduction="sum")
    optimizer = _NoisyOptimizer(
        torch.optim.SGD(model.parameters(), lr=learning_rate),
        noise,
        noise_multiplier=mechanism.sigma,
        max_grad_norm=mechanism.clip,
        expected_batch_size=spec.privacy.people_expected,
    )
    parts = list(people.batches(batch_people))
    for step in range(mechanism.steps):
        for index, part in enumerate(parts):
            optimizer.signal_skip_step(do_skip=index < len(parts) - 1)
            torch.autograd.backward(_loss(model, spec, features, part))
            optimizer.step()
            optimizer.zero_grad()
        if progress is not None:
            progress(step + 1, mechanism.steps)
    fitted = heads.weights()
    _require_moved(start, fitted)
    return fitted


def _require_moved(start: Weights, fitted: Weights) -> None:
    """Opacus trains nothing, without a word, where its hooks do not reach a parameter."""
    pairs = ((start.values, fitted.values), (start.presences, fitted.presences))
    if any(before.size and np.array_equal(before, after) for before, after in pairs):
        raise ShouldFixArgument(
            "The private fit moved no weight of a head.", "Check opacus and torch versions."
        )


class _Heads(nn.Module):
    """Value and presence heads as linear layers, in double precision."""

    def __init__(self, features: FeatureMap, start: Weights) -> None:
        super().__init__()
        self._no_presences = np.zeros((0, features.presence_width))
        self.values = _linear(start.values)
        self.presences = _linear(start.presences) if features.presences else None

    def forward(
        self, features: torch.Tensor, presence: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        present = None if self.presences is None else self.presences(presence)
        return self.values(features), present

    def weights(self) -> Weights:
        values = self.values.weight.detach().numpy().copy()
        if self.presences is None:
            return Weights(values, self._no_presences)
        return Weights(values, self.presences.weight.detach().numpy().copy())


def _linear(weight: Float) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
    return layer


def _loss(model: Any, spec: LoopSpec, features: FeatureMap, part: PeopleEpisodes) -> torch.Tensor:
    """Sum over people of their own mean loss; sums, since each person is one sample."""
    size = part.rows.shape
    rows = np.maximum(part.rows, 0).ravel()
    wide, narrow = features.of(part.episodes.context[rows], part.episodes.action[rows])
    signals = part.episodes.signals[rows].reshape(*size, -1)
    low = np.array([-1.0 if s.two_sided else s.low for s in spec.signals])
    high = np.array([1.0 if s.two_sided else s.high for s in spec.signals])
    known = np.isfinite(signals)
    target = np.clip(np.where(known, (signals - low) / (high - low), 0.5), 0.0, 1.0)
    share = part.share[:, :, None]
    values, present = model(_tensor(wide, size), _tensor(narrow, size))
    loss = _cross_entropy(values, target, known * share)
    if present is not None:
        loss = loss + _cross_entropy(
            present, known[:, :, list(missing_types(spec))].astype(np.float64), share
        )
    return loss


def _tensor(features: Float, size: tuple[int, ...]) -> torch.Tensor:
    # Opacus's hooks want inputs with gradients; torch warns at every step otherwise.
    return torch.from_numpy(features.reshape(*size, -1)).requires_grad_()


def _cross_entropy(logits: torch.Tensor, target: Float, weight: Float) -> torch.Tensor:
    return binary_cross_entropy_with_logits(
        logits,
        torch.from_numpy(target),
        weight=torch.from_numpy(np.broadcast_to(weight, target.shape).copy()),
        reduction="sum",
    )


class _NoisyOptimizer(DPOptimizer):  # type: ignore[misc]
    """Opacus's optimizer with the release's own noise instead of a torch generator's."""

    def __init__(self, optimizer: torch.optim.Optimizer, noise: Noise, **terms: Any) -> None:
        super().__init__(optimizer, loss_reduction="mean", **terms)
        self._noise = noise

    def add_noise(self) -> None:
        deviation = self.noise_multiplier * self.max_grad_norm
        for parameter in self.params:
            drawn = torch.from_numpy(self._noise(tuple(parameter.shape))) * deviation
            parameter.grad = (parameter.summed_grad + drawn).view_as(parameter)
