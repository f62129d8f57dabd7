"""The private mechanism of the user model: noisy gradient descent, clipped per person.

Step t of T, with g_i the gradient of person i's loss over all heads jointly:

    G_t = (sum_i g_i min(1, C / |g_i|) + sigma C z_t) / N,        z_t ~ N(0, I),
    v <- MOMENTUM v + G_t,      w <- w - rate v,

and the release is the mean of w after the last quarter of the steps; momentum and averaging read noisy
sums alone. N is the public number of expected people, never the exact count. Adding or removing one
person moves the sum by at most C, so T steps cost mu^2 = T / sigma^2 (Dong, Roth, Su 2022). A subsampled
mechanism sums over a Poisson sample of people at rate q, drawn from the release's secret stream, and
divides by q N. A person's loss is that of ``outcomes``. Opacus computes per-person gradients,
clips and sums; virtual batches bound memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from scipy.special import ndtr
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from everloop.contracts.datasets import Bool
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import Mechanism
from synthetic.noise import Noise
from synthetic.people import PeopleEpisodes
from synthetic.user_model.features import FeatureMap
from synthetic.user_model.linear_module import LinearModule
from synthetic.user_model.mlp import MlpWeights
from synthetic.user_model.mlp_module import MlpModule
from synthetic.user_model.samples import Samples, samples_of
from synthetic.user_model.schedule import MOMENTUM, averaged_steps
from synthetic.user_model.weights import Weights

BATCH_PEOPLE = 2_000
KEPT_BYTES = 1 << 30
"""Features of virtual batches are kept between steps up to this size, else made again."""
Progress = Callable[[int, int], None]


def private_fit(
    spec: LoopSpec,
    features: FeatureMap,
    people: PeopleEpisodes,
    start: Weights,
    mechanism: Mechanism,
    learning_rate: float,
    noise: Noise,
    batch_people: int = BATCH_PEOPLE,
    progress: Progress | None = None,
) -> Weights:
    """Run the mechanism on linear heads; its output is all that may leave.

    Args:
        spec: signal ranges, and ``privacy.people_expected``.
        features: public features.
        people: who takes part, with the episodes that count.
        start: weights to start from, themselves released or constant.
        mechanism: sigma, clip, steps and sampling rate that were paid for.
        learning_rate: the rate of the formula.
        noise: standard normals; a release's own sealed stream, except in tests.
        batch_people: people per virtual batch; changes memory, not the result.
        progress: called with (steps done, steps).

    Raises:
        ShouldFixArgument: there is nobody, or no weight moved.
    """
    module = LinearModule(features, start)
    descend(module, spec, features, people, mechanism, learning_rate, noise, batch_people, progress)
    return module.fitted()


def private_mlp_fit(
    spec: LoopSpec,
    features: FeatureMap,
    people: PeopleEpisodes,
    start: MlpWeights,
    mechanism: Mechanism,
    learning_rate: float,
    noise: Noise,
    batch_people: int = BATCH_PEOPLE,
    progress: Progress | None = None,
) -> MlpWeights:
    """As ``private_fit``, of heads on one hidden layer."""
    module = MlpModule(features, start)
    descend(module, spec, features, people, mechanism, learning_rate, noise, batch_people, progress)
    return module.fitted()


def descend(
    module: nn.Module,
    spec: LoopSpec,
    features: FeatureMap,
    people: PeopleEpisodes,
    mechanism: Mechanism,
    learning_rate: float,
    noise: Noise,
    batch_people: int = BATCH_PEOPLE,
    progress: Progress | None = None,
) -> None:
    """Run the mechanism on a module from (wide, shared, narrow, motion) to logits (P, E, H), in place.

    Raises:
        ShouldFixArgument: there is nobody, or a parameter did not move.
    """
    if not len(people):
        raise ShouldFixArgument("A private fit without people.", "Reserve for at least one person.")
    rate = mechanism.sampling_rate
    before = [parameter.detach().clone() for parameter in module.parameters()]
    with _one_thread():
        model = GradSampleModule(module, batch_first=True, loss_reduction="sum")
        optimizer = _NoisyOptimizer(
            torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=MOMENTUM),
            noise,
            noise_multiplier=mechanism.sigma,
            max_grad_norm=mechanism.clip,
            expected_batch_size=rate * spec.privacy.people_expected,
        )
        batches = _Batches(spec, features, people, batch_people)
        mean = [torch.zeros_like(parameter) for parameter in module.parameters()]
        last_steps = averaged_steps(mechanism.steps)
        for step in range(mechanism.steps):
            chosen = None if rate == 1.0 else ndtr(noise((len(people),))) < rate
            for part, last in batches.of(chosen):
                optimizer.signal_skip_step(do_skip=not last)
                with _inputs_without_gradients():
                    torch.autograd.backward(_loss(model, part))
                optimizer.step()
                optimizer.zero_grad()
            if step >= mechanism.steps - last_steps:
                for total, parameter in zip(mean, module.parameters(), strict=True):
                    total.add_(parameter.detach(), alpha=1.0 / last_steps)
            if progress is not None:
                progress(step + 1, mechanism.steps)
        with torch.no_grad():
            for total, parameter in zip(mean, module.parameters(), strict=True):
                parameter.copy_(total)
    # Opacus trains nothing, without a word, where its hooks do not reach a parameter.
    for old, parameter in zip(before, module.parameters(), strict=True):
        if old.numel() and torch.equal(old, parameter):
            raise ShouldFixArgument(
                "The private fit moved no weight of a head.", "Check opacus and torch versions."
            )


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _inputs_without_gradients() -> Iterator[None]:
    """Opacus's hooks read gradients by outputs alone; those by features would double the work."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield


class _Batches:
    """Virtual batches of people, their features kept between steps while they fit in memory.

    People with equally many episodes go together: most have few, and a batch is as long as its longest
    person. Who goes with whom changes nothing but the order in which people's gradients are summed.
    """

    def __init__(
        self, spec: LoopSpec, features: FeatureMap, people: PeopleEpisodes, size: int
    ) -> None:
        self._spec, self._features = spec, features
        decided = (people.rows >= 0).sum(axis=1)
        self._order = np.argsort(decided, kind="stable")
        self._parts = [_trimmed(part) for part in people.at(self._order).batches(size)]
        self._size = size
        self._kept: dict[int, Samples] = {}
        self._free = KEPT_BYTES

    def of(self, chosen: Bool | None) -> Iterator[tuple[dict[str, torch.Tensor], bool]]:
        """(tensors, whether it is the last one); ``chosen`` (P,): who takes part in the step."""
        last = len(self._parts) - 1
        for index, part in enumerate(self._parts):
            samples = self._samples(index)
            who = None if chosen is None else chosen[self._order[index * self._size :][: len(part)]]
            yield _tensors(samples, part.rows.shape[1], who), index == last

    def _samples(self, index: int) -> Samples:
        known = self._kept.get(index)
        if known is not None:
            return known
        made = samples_of(self._spec, self._features, self._parts[index])
        if made.bytes <= self._free:
            self._free -= made.bytes
            self._kept[index] = made
        return made


def _trimmed(people: PeopleEpisodes) -> PeopleEpisodes:
    """The same people without the columns that are padding for all of them."""
    longest = int((people.rows >= 0).sum(axis=1).max(initial=1))
    return replace(people, rows=people.rows[:, :longest])


def _tensors(samples: Samples, each: int, who: Bool | None) -> dict[str, torch.Tensor]:
    """(P, E, ...) tensors. Nobody sampled: the first person with weight 0, since a batch needs one."""
    seen = samples.seen
    given = {
        "wide": seen.wide,
        "shared": seen.shared,
        "narrow": seen.narrow,
        "motion": seen.motion,
        "target": samples.target,
        "weight": samples.weight,
    }
    rows = slice(None) if who is None else np.flatnonzero(who)
    nobody = who is not None and not who.any()
    found = {}
    for name, array in given.items():
        shaped = array.reshape(samples.people, each, *array.shape[1:])
        found[name] = torch.from_numpy(np.ascontiguousarray(shaped[:1] if nobody else shaped[rows]))
    if nobody:
        found["weight"] = torch.zeros_like(found["weight"])
    return found


def _loss(model: Any, part: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum over people of their own mean loss; sums, since each person is one sample."""
    seen = (part[name] for name in ("wide", "shared", "narrow", "motion"))
    return binary_cross_entropy_with_logits(
        model(*seen), part["target"], weight=part["weight"], reduction="sum"
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
