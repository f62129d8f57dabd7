"""Several learners as one: each passes its part of a minibatch through the network, all see the whole.

With W learners, learner r computes outputs for rows of the r-th of W parts; the other parts' outputs come
from their learners. Every learner then has the whole minibatch's loss, so that all decide alike (early
stop, summaries), but its gradients are those of its own part alone. The parts' gradients add up to the
minibatch's: with f_i the outputs of row i, dL/dw = sum_i (dL/df_i) (df_i/dw). One learner and several
therefore make the same update but for the order of sums; the same number gives the same bits.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as processes
from torch import Tensor, nn


def together() -> bool:
    """Whether this process is one of several learners."""
    return bool(processes.is_available() and processes.is_initialized() and _count() > 1)


class SharedNetwork:
    """A network whose batches are divided among the learners; everything else is the network's own.

    Outputs are tensors, or tuples of tensors, with one row for each row of the input.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def __call__(self, observation: Tensor) -> tuple[Tensor, ...]:
        parts = torch.tensor_split(observation, _count())
        own = self._network(parts[_rank()])
        sizes = [len(part) for part in parts]
        return tuple(_whole(output, sizes) for output in own)

    def logits(self, observation: Tensor) -> Tensor:
        """(N, A), as the network's."""
        parts = torch.tensor_split(observation, _count())
        own = self._network.logits(parts[_rank()])  # type: ignore[operator]
        return _whole(own, [len(part) for part in parts])


def add_gradients(network: nn.Module) -> None:
    """Replace each learner's gradients by the sum over all learners, in one message."""
    parameters = list(network.parameters())
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    processes.all_reduce(flat)
    start = 0
    for parameter in parameters:
        end = start + parameter.numel()
        parameter.grad = flat[start:end].view_as(parameter)
        start = end


def _whole(own: Tensor, sizes: list[int]) -> Tensor:
    """All parts' rows in order; only ``own`` carries gradients."""
    padded = own.new_zeros((max(sizes), *own.shape[1:]))
    padded[: len(own)] = own.detach()
    received = [torch.empty_like(padded) for _ in sizes]
    processes.all_gather(received, padded)
    parts = [part[:size] for part, size in zip(received, sizes, strict=True)]
    parts[_rank()] = own
    return torch.cat(parts)


def _count() -> int:
    return int(processes.get_world_size())


def _rank() -> int:
    return int(processes.get_rank())
