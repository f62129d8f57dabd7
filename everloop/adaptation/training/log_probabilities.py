"""Log-probabilities of completions, at the positions of completions alone, in slices of bounded size.

The vocabulary is wide: the logits of a batch take more memory than anything else in a training step. Only
positions that predict a completion's token are projected, ``CHUNK`` at a time, and the backward pass
projects them again instead of keeping them. The output projection is frozen.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from everloop.contracts.errors import ShouldFixArgument

CHUNK = 256
"""Positions whose logits are in memory at once."""
SLICE_TOKENS = 1024
"""Padded tokens of a slice on a CPU."""
SLICE_TOKENS_GPU = 16_384


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Token ids of a prompt and of the completion that follows it; both have at least one."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.prompt or not self.completion:
            raise ShouldFixArgument(
                f"A sequence of {len(self.prompt)} prompt and {len(self.completion)} completion tokens "
                "has no log-probability.",
                "Leave it out, or raise max_length.",
            )

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class Padded:
    """Sequences padded on the right: ids, attention and completion masks, each (B, L)."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    completion_mask: torch.Tensor

    def to(self, device: torch.device) -> Padded:
        return Padded(
            self.input_ids.to(device),
            self.attention_mask.to(device),
            self.completion_mask.to(device),
        )

    def rows(self, chosen: Sequence[int]) -> Padded:
        """Some rows, without the columns that are padding for all of them."""
        index = torch.as_tensor(chosen, device=self.input_ids.device)
        attention = self.attention_mask[index]
        width = int(attention.sum(dim=1).max())
        return Padded(
            self.input_ids[index, :width],
            attention[:, :width],
            self.completion_mask[index, :width],
        )


def padded(sequences: Sequence[TokenSequence], pad: int) -> Padded:
    """Pad to the longest with ``pad``, which nothing attends to."""
    width = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), width), pad, dtype=torch.long)
    attention = torch.zeros((len(sequences), width), dtype=torch.long)
    completion = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        length, start = len(sequence), len(sequence.prompt)
        ids[row, :length] = torch.tensor((*sequence.prompt, *sequence.completion))
        attention[row, :length] = 1
        completion[row, start:length] = 1
    return Padded(ids, attention, completion)


def slices(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices in groups of like length, each of at most ``budget`` padded tokens, or of one index."""
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        # The first of a group is its longest.
        if group and lengths[group[0]] * (len(group) + 1) > budget:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def slice_budget(device: torch.device) -> int:
    """Padded tokens of a slice on a device."""
    return SLICE_TOKENS if device.type == "cpu" else SLICE_TOKENS_GPU


class _LogProbabilities(torch.autograd.Function):
    """log softmax(h W^T)[target] of each row of h (N, d); gradient with respect to h alone."""

    @staticmethod
    def forward(
        context: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        found = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        normaliser = torch.empty_like(found)
        for start in range(0, len(hidden), CHUNK):
            part = slice(start, start + CHUNK)
            logits = (hidden[part].to(weight.dtype) @ weight.T).float()
            normaliser[part] = logits.logsumexp(dim=1)
            found[part] = logits.gather(1, targets[part, None])[:, 0] - normaliser[part]
        context.save_for_backward(hidden, weight, targets, normaliser)
        return found

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        hidden, weight, targets, normaliser = context.saved_tensors
        result = torch.empty_like(hidden)
        for start in range(0, len(hidden), CHUNK):
            part = slice(start, start + CHUNK)
            logits = (hidden[part].to(weight.dtype) @ weight.T).float()
            # d log p / d logits = onehot(target) - p
            towards = torch.exp(logits - normaliser[part, None]).neg_()
            towards.scatter_add_(1, targets[part, None], torch.ones_like(towards[:, :1]))
            towards *= gradients[0][part, None]
            result[part] = (towards.to(weight.dtype) @ weight).to(hidden.dtype)
        return result, None, None


def teach_scoring(model: nn.Module) -> None:
    """Let a causal language model answer ``completion_mask=`` with sums of log-probabilities, (B,).

    Every other call is answered as before. It goes through ``forward`` so that what wraps the model (PEFT,
    autocast, gradients of several processes) takes part.
    """
    before = model.forward

    def forward(self: Any, *args: Any, **given: Any) -> Any:
        completion = given.pop("completion_mask", None)
        if completion is None:
            return before(*args, **given)
        ids = given["input_ids"]
        hidden = self.base_model(
            input_ids=ids, attention_mask=given["attention_mask"], use_cache=False
        ).last_hidden_state
        # Position t predicts token t + 1.
        wanted = completion[:, 1:].bool()
        each = _LogProbabilities.apply(  # type: ignore[no-untyped-call]
            hidden[:, :-1][wanted], self.get_output_embeddings().weight, ids[:, 1:][wanted]
        )
        rows = wanted.nonzero(as_tuple=True)[0]
        totals = torch.zeros(len(ids), dtype=torch.float32, device=each.device)
        return totals.index_add(0, rows, each)

    model.forward = types.MethodType(forward, model)


def score(model: nn.Module, part: Padded) -> torch.Tensor:
    """Sum of the log-probabilities of each row's completion, nats, (B,); see ``teach_scoring``."""
    found: torch.Tensor = model(
        input_ids=part.input_ids,
        attention_mask=part.attention_mask,
        completion_mask=part.completion_mask,
    )
    return found


def score_all(
    model: nn.Module, sequences: Sequence[TokenSequence], pad: int, device: torch.device
) -> tuple[float, ...]:
    """Sums of log-probabilities of every completion, in their order, without gradients or dropout."""
    found = [0.0] * len(sequences)
    was_training = model.training
    model.eval()
    with torch.no_grad(), bfloat16(device):
        for group in slices([len(sequence) for sequence in sequences], slice_budget(device)):
            part = padded([sequences[index] for index in group], pad).to(device)
            for index, value in zip(group, score(model, part).tolist(), strict=True):
                found[index] = value
    model.train(was_training)
    return tuple(found)


def bfloat16(device: torch.device) -> AbstractContextManager[object]:
    """Autocast as in training: a bfloat16 base with a float32 adapter."""
    if device.type in ("cpu", "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
