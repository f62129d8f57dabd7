"""Differentially private training of the adapter; the unit of privacy is the person.

Step t of T, with g_i the gradient of person i's loss, the mean over at most ``examples_per_person`` of
their examples of each one's mean negative log-probability a completion token:

    G_t = (sum_{i in S_t} g_i min(1, C / |g_i|) + sigma C z_t) / (q N),      z_t ~ N(0, I),

S_t a Poisson sample of people at rate q, N the public number of expected people. Adam follows G_t at a
cosine's rate; both read noisy sums alone. Adding or removing one person moves a sum by at most C, so that
T steps are T subsampled Gaussian releases (Abadi et al., "Deep learning with differential privacy", CCS
2016; McMahan et al., "Learning differentially private recurrent language models", ICLR 2018).

What is given must be each person's own: weights, which follow from how others judge, are not used, and no
person's text may have been left out or changed because of another's. Instances of nobody (corpora,
scenarios) are left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr

from everloop.adaptation.training.log_probabilities import (
    TokenSequence,
    bfloat16,
    padded,
    score,
    slice_budget,
    slices,
    teach_scoring,
)
from everloop.adaptation.training.models import load_tokenizer, with_adapter
from everloop.adaptation.training.order import warmup_of
from everloop.adaptation.training.preference_examples import sequence_of
from everloop.adaptation.training.progress import Progress, silent
from everloop.adaptation.training.publish import distance, publish, trained_tensors
from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.privacy import Mechanism
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import (
    AdapterFigures,
    LearningTask,
    PhaseFigures,
    StepLog,
    TrainingDataInstance,
)

if TYPE_CHECKING:
    from peft import PeftModel

PHASE = "private"
Gradient = list[torch.Tensor]
"""One float64 tensor on the CPU for each parameter that learns."""


class Noise(Protocol):
    """A source of independent standard normal numbers; every call continues the stream."""

    def __call__(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """An array of the shape."""


@dataclass(frozen=True, slots=True)
class PrivateTerms:
    """What a reservation paid for, and under which name.

    Attributes:
        mechanism: sigma, clip, steps and sampling rate.
        people: who may take part; everyone else is left out.
        people_expected: N of the formula, a public constant and never the exact count.
        noise: the release's own sealed stream, except in tests.
        epsilon, delta: what the mechanism costs each person.
        release_id: of the ledger's row; empty for a placebo, which nobody ever sees.
    """

    mechanism: Mechanism
    people: tuple[str, ...]
    people_expected: int
    noise: Noise
    epsilon: float
    delta: float
    release_id: str

    def __post_init__(self) -> None:
        if self.people_expected < 1:
            raise ShouldFixArgument(f"people_expected={self.people_expected} is not at least 1.")
        if list(self.people) != sorted(set(self.people)):
            raise ShouldFixArgument(
                f"{len(self.people)} people are not sorted, or one is named twice.",
                "Take them from the reservation.",
            )


class PrivateTraining(Protocol):
    """Pays for a private training, runs it and stores what it releases; once paid for, the same again."""

    def __call__(
        self,
        base: BaseFolder,
        spec: VoiceSpec,
        instances: Sequence[TrainingDataInstance],
        out: Path,
        seed: int,
        start_from: AdapterFolder | None,
        on_progress: Progress,
    ) -> tuple[AdapterFolder, AdapterFigures]:
        """As ``train_privately``; ``ShouldWaitForBudget`` and ``ShouldKeepRelease`` as the ledger says."""


@dataclass(frozen=True, slots=True)
class PersonExamples:
    """What one person teaches."""

    person: str
    examples: tuple[TokenSequence, ...]


def train_privately(
    base: BaseFolder,
    spec: VoiceSpec,
    instances: Sequence[TrainingDataInstance],
    terms: PrivateTerms,
    out: Path,
    seed: int,
    start_from: AdapterFolder | None = None,
    on_progress: Progress = silent,
) -> tuple[AdapterFolder, AdapterFigures]:
    """Run the mechanism; the published adapter is all of it that may leave.

    A killed run is run anew with the same noise and ends in the same bytes. Losses are not measured: they
    would be a release of their own. Counts of examples and tokens are exact and stay inside.

    Args:
        instances: supervised ones of people are used, anything else is passed over.
        seed: of a new adapter; public.
        start_from: an adapter that is itself a release, or None.

    Raises:
        ShouldCollectMoreData: nobody of ``terms.people`` has an example.
        ShouldFixArgument: no gradient reached the adapter, or it did not move.
    """
    began = time.monotonic()
    renderer = Renderer(load_tokenizer(base), min(spec.phases.max_length, base.context_tokens))
    people = people_of(instances, terms.people, spec.privacy.examples_per_person, renderer)
    model = with_adapter(base, spec.lora, seed, start_from)
    teach_scoring(model.get_base_model())
    # Dropout would make a killed run another one; noise is there already.
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    before = {name: tensor.clone() for name, tensor in trained_tensors(model).items()}
    steps = _descend(model, spec, people, terms, on_progress)
    moved = distance(trained_tensors(model), before)
    if not (math.isfinite(moved) and moved > 0.0):
        raise ShouldFixArgument(f"Private training moved the adapter by {moved}.")
    published = publish(model, base, out)
    examples, tokens = _counts(people, terms.mechanism, len(steps))
    phase = PhaseFigures(
        phase=PHASE,
        method="dp_sft",
        examples=examples,
        replayed=0,
        steps=len(steps),
        warmup_steps=_warmup(spec, len(steps)),
        peak_learning_rate=max(step.learning_rate for step in steps),
        max_grad_norm=terms.mechanism.clip,
        effective_batch=max(1, round(terms.mechanism.sampling_rate * terms.people_expected)),
        first_loss=math.nan,
        last_loss=math.nan,
        tokens=tokens,
        seconds=time.monotonic() - began,
        adapter_in="" if start_from is None else start_from.sha256,
        adapter_out=published.sha256,
        reason="privacy.epsilon is set: a release for each person's privacy loss.",
    )
    figures = AdapterFigures(
        base_sha256=base.sha256,
        adapter_sha256=published.sha256,
        phases=(phase,),
        steps=steps,
        moved=moved,
        parameters=sum(tensor.numel() for tensor in before.values()),
        epsilon=terms.epsilon,
        delta=terms.delta,
        release_id=terms.release_id,
        placebo=not terms.release_id,
        rows_by_task={LearningTask.SFT.value: examples},
        people=_taught(people),
    )
    return published, figures


def with_counts(
    figures: AdapterFigures,
    base: BaseFolder,
    spec: VoiceSpec,
    instances: Sequence[TrainingDataInstance],
    mechanism: Mechanism,
    admitted: Sequence[str],
) -> AdapterFigures:
    """A stored release's figures with the exact counts that its file does not hold, counted again.

    Raises:
        ShouldCollectMoreData: nobody of ``admitted`` has an example any more.
    """
    renderer = Renderer(load_tokenizer(base), min(spec.phases.max_length, base.context_tokens))
    people = people_of(instances, admitted, spec.privacy.examples_per_person, renderer)
    examples, tokens = _counts(people, mechanism, len(figures.steps))
    phases = tuple(replace(each, examples=examples, tokens=tokens) for each in figures.phases)
    return replace(
        figures,
        phases=phases,
        rows_by_task={LearningTask.SFT.value: examples},
        people=_taught(people),
    )


def _counts(people: Sequence[PersonExamples], mechanism: Mechanism, steps: int) -> tuple[int, int]:
    """Examples, and the completion tokens that are expected to give a gradient."""
    tokens = sum(len(each.completion) for one in people for each in one.examples)
    examples = sum(len(one.examples) for one in people)
    return examples, round(tokens * mechanism.sampling_rate * steps)


def _taught(people: Sequence[PersonExamples]) -> int:
    return sum(bool(one.examples) for one in people)


def people_of(
    instances: Sequence[TrainingDataInstance],
    admitted: Sequence[str],
    most: int,
    renderer: Renderer,
) -> tuple[PersonExamples, ...]:
    """Each admitted person with the first ``most`` of their examples by id; nobody depends on another.

    People without an example stay, with none: they are drawn like everybody who paid.

    Raises:
        ShouldCollectMoreData: nobody has an example.
    """
    own: dict[str, list[TrainingDataInstance]] = {person: [] for person in admitted}
    for instance in instances:
        if instance.task is LearningTask.SFT and instance.user_id in own:
            own[instance.user_id].append(instance)
    found = []
    for person, theirs in own.items():
        rendered = (
            sequence_of(instance, instance.completion, renderer)
            for instance in sorted(theirs, key=lambda each: each.instance_id)
        )
        examples = tuple(sequence for sequence in rendered if sequence is not None)
        found.append(PersonExamples(person, examples[:most]))
    if not any(person.examples for person in found):
        raise ShouldCollectMoreData(
            f"None of {len(found)} people has a text to learn from privately.",
            "Collect corrections, or train without epsilon.",
        )
    return tuple(found)


def clipped_sum(
    gradients: Iterator[Gradient | None], like: Sequence[torch.Tensor], clip: float
) -> tuple[Gradient, bool]:
    """sum g min(1, C / |g|), and whether any g was not 0. What is not finite counts as 0."""
    total = [torch.zeros(parameter.shape, dtype=torch.float64) for parameter in like]
    reached = False
    for gradient in gradients:
        if gradient is None:
            continue
        norm = math.sqrt(sum(float(part.square().sum()) for part in gradient))
        if not math.isfinite(norm) or norm == 0.0:
            continue
        reached = True
        factor = min(1.0, clip / norm)
        for sum_of, part in zip(total, gradient, strict=True):
            sum_of.add_(part, alpha=factor)
    return total, reached


def noisy_mean(total: Gradient, terms: PrivateTerms) -> Gradient:
    """(sum + sigma C z) / (q N): the one line that reads people and leaves."""
    mechanism = terms.mechanism
    deviation = mechanism.sigma * mechanism.clip
    divisor = mechanism.sampling_rate * terms.people_expected
    return [
        (part + deviation * torch.from_numpy(terms.noise(tuple(part.shape)))) / divisor
        for part in total
    ]


def _descend(
    model: PeftModel,
    spec: VoiceSpec,
    people: Sequence[PersonExamples],
    terms: PrivateTerms,
    on_progress: Progress,
) -> tuple[StepLog, ...]:
    from transformers import get_cosine_schedule_with_warmup  # noqa: PLC0415

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    steps, clip = terms.mechanism.steps, terms.mechanism.clip
    optimizer = torch.optim.Adam(parameters, lr=spec.privacy.learning_rate)
    schedule = get_cosine_schedule_with_warmup(optimizer, _warmup(spec, steps), steps)
    logs, ever = [], False
    for step in range(1, steps + 1):
        chosen = np.flatnonzero(_sampled(len(people), terms)).tolist()
        gradients = (person_gradient(model, parameters, people[at].examples) for at in chosen)
        total, reached = clipped_sum(gradients, parameters, clip)
        ever = ever or reached
        mean = noisy_mean(total, terms)
        for parameter, part in zip(parameters, mean, strict=True):
            parameter.grad = part.to(parameter.device, parameter.dtype)
        norm = math.sqrt(sum(float(part.square().sum()) for part in mean))
        rate = float(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
        logs.append(StepLog(PHASE, step, rate, norm, math.nan))
        on_progress(logs[-1], steps)
    # Noise moves weights that no gradient ever reached.
    if not ever:
        raise ShouldFixArgument(
            "No person's gradient reached the adapter in private training.",
            "Check the versions of peft and torch.",
        )
    return tuple(logs)


def _sampled(people: int, terms: PrivateTerms) -> NDArray[np.bool_]:
    rate = terms.mechanism.sampling_rate
    if rate == 1.0:
        return np.ones(people, dtype=np.bool_)
    found: NDArray[np.bool_] = ndtr(terms.noise((people,))) < rate
    return found


def _warmup(spec: VoiceSpec, steps: int) -> int:
    return warmup_of(steps, spec.phases.warmup_ratio)


def person_gradient(
    model: PeftModel, parameters: Sequence[torch.Tensor], examples: Sequence[TokenSequence]
) -> Gradient | None:
    """Gradient of the mean over a person's examples of each one's mean loss a token; None without any."""
    if not examples:
        return None
    device = parameters[0].device
    total = [torch.zeros(parameter.shape, dtype=torch.float64) for parameter in parameters]
    pad = 0
    for group in slices([len(each) for each in examples], slice_budget(device)):
        part = padded([examples[at] for at in group], pad).to(device)
        with bfloat16(device):
            each = -score(model, part) / part.completion_mask.sum(dim=1)
        loss = each.sum() / len(examples)
        for sum_of, gradient in zip(total, torch.autograd.grad(loss, parameters), strict=True):
            sum_of.add_(gradient.to("cpu", torch.float64))
    return total
