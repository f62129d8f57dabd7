"""Answers of a batch, token by token: left padding, one cache, rows that leave when they are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from everloop.speaking.lora import Routing, Rows, groups
from everloop.speaking.sampling import Sampler


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer to be made.

    Attributes:
        position: what its tokens are told with.
        prompt: its tokens.
        limit: at most so many tokens are generated, the end of turn included.
        adapter: what it goes through; the same object for every row of the same adapter, None for none.
    """

    position: int
    prompt: list[int]
    limit: int
    sampler: Sampler
    adapter: Any


@dataclass(frozen=True, slots=True)
class Token:
    """A generated token. ``stops``: it ends the turn; ``last``: nothing follows it.

    ``broken``: the row's logits were not finite, so that there is no token, and the row has ended.
    """

    position: int
    token: int
    stops: bool
    last: bool
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Padded:
    """A left-padded batch: tokens, mask and positions, each of shape (rows, longest)."""

    tokens: Tensor
    mask: Tensor
    positions: Tensor


def left_padded(rows: Sequence[Sequence[int]], padding: int, device: torch.device) -> Padded:
    """Pad on the left, so that all rows end in one column; positions count from a row's own start."""
    longest = max(len(row) for row in rows)
    tokens = torch.full((len(rows), longest), padding, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        tokens[index, longest - len(row) :] = torch.tensor(row, dtype=torch.long)
        mask[index, longest - len(row) :] = 1
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return Padded(tokens.to(device), mask.to(device), positions.to(device))


def routed_rows(adapters: Sequence[Any]) -> tuple[Rows, ...]:
    """Which rows go through which adapter's modules; rows of one adapter lie together."""
    return tuple(
        Rows(start, stop, adapter.modules)
        for start, stop, adapter in groups(adapters)
        if adapter is not None
    )


@torch.inference_mode()
def decode(
    model: Any,
    routing: Routing,
    asked: Sequence[Asked],
    stops: frozenset[int],
    padding: int,
    abandoned: Callable[[int], bool] = lambda _: False,
) -> Iterator[Token]:
    """Generate; each token as it is made.

    Args:
        asked: rows of one adapter lie together.
        abandoned: whether nobody waits for a row any more; it leaves the batch.
    """
    from transformers import DynamicCache  # noqa: PLC0415

    rows = list(asked)
    counts = {row.position: 0 for row in rows}
    batch = left_padded([row.prompt for row in rows], padding, model.device)
    tokens, mask, positions = batch.tokens, batch.mask, batch.positions
    cache = DynamicCache(config=model.config)
    while rows:
        with routing.of(routed_rows([row.adapter for row in rows])):
            logits = model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
        chosen: list[int] = []
        going: list[int] = []
        finite = torch.isfinite(logits).all(dim=1).tolist()
        for index, row in enumerate(rows):
            if not finite[index]:  # a neighbour's adapter is no reason to end another answer
                yield Token(row.position, padding, stops=False, last=True, broken=True)
                continue
            token = row.sampler.next(logits[index])
            counts[row.position] += 1
            stop = token in stops
            last = stop or counts[row.position] >= row.limit
            yield Token(row.position, token, stop, last)
            if not last and not abandoned(row.position):
                going.append(index)
                chosen.append(token)
        if going and len(going) < len(rows):
            kept = torch.tensor(going, device=model.device)
            cache.batch_select_indices(kept)
            mask, positions = mask[kept], positions[kept]
        rows = [rows[index] for index in going]
        tokens = torch.tensor(chosen, dtype=torch.long, device=model.device)[:, None]
        mask = torch.cat([mask[: len(rows)], mask.new_ones((len(rows), 1))], dim=1)
        positions = positions[: len(rows), -1:] + 1
