"""Linear layers whose rows each go through their own adapter.

The base is computed once for a whole batch; each adapter's rows lie together and get its ``B A x`` too.
Which rows go where is told for a block of code in one thread: adapters come and go without touching the
model, and whoever computes keeps the tensors that it began with.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from everloop.speaking.frozen_linear import FrozenLinear

Modules = Mapping[str, tuple[Tensor, Tensor]]
"""Module -> (A of shape (r, in), scaled B of shape (out, r))."""
_HEAD = "lm_head"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows ``start`` to ``stop`` of a batch and the adapter that they go through."""

    start: int
    stop: int
    modules: Modules


class Routing(threading.local):
    """Which rows go through which adapter, for the thread that asks; none by default."""

    rows: tuple[Rows, ...] = ()

    @contextmanager
    def of(self, rows: Sequence[Rows]) -> Iterator[None]:
        """Route for the length of a block."""
        before, self.rows = self.rows, tuple(rows)
        try:
            yield
        finally:
            self.rows = before


class RoutedLinear(nn.Module):
    """A linear layer of the base with whatever adapters its rows have.

    Takes and gives tensors of shape (batch, tokens, features).
    """

    def __init__(self, base: nn.Linear, name: str, routing: Routing) -> None:
        super().__init__()
        self.base, self._name, self._routing = FrozenLinear(base), name, routing

    def forward(self, x: Tensor) -> Tensor:
        """``W x``, and ``scale B A x`` where an adapter has this module."""
        out: Tensor = self.base(x)
        for rows in self._routing.rows:
            pair = rows.modules.get(self._name)
            if pair is not None:
                down, up = pair
                part = x[rows.start : rows.stop].to(down.dtype)
                out[rows.start : rows.stop] += (part @ down.T @ up.T).to(out.dtype)
        return out


def route(model: nn.Module, routing: Routing) -> frozenset[str]:
    """Put a ``RoutedLinear`` in the place of every linear layer but the head; their names."""
    found = [
        (name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)
    ]
    for name, module in found:
        parent, _, child = name.rpartition(".")
        fresh = FrozenLinear(module) if name == _HEAD else RoutedLinear(module, name, routing)
        setattr(model.get_submodule(parent), child, fresh)
    return frozenset(name for name, _ in found if name != _HEAD)


def groups(adapters: Sequence[Any]) -> list[tuple[int, int, Any]]:
    """(start, stop, adapter) of the runs of equal neighbours."""
    runs: list[tuple[int, int, Any]] = []
    for position, adapter in enumerate(adapters):
        if runs and runs[-1][2] is adapter:
            runs[-1] = (runs[-1][0], position + 1, adapter)
        else:
            runs.append((position, position + 1, adapter))
    return runs
