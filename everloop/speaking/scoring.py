"""Log-probabilities of completions, end of turn included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from everloop.contracts.speaking import TextScore
from everloop.speaking.decoding import left_padded, routed_rows
from everloop.speaking.lora import Routing

_TOKENS = 4096
"""Of a batch, padding included."""
_LOGITS = 512
"""Rows of logits of a batch; one has a float for every token of the vocabulary."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A prompt and the completion whose probability is asked, in tokens."""

    position: int
    prompt: list[int]
    completion: list[int]

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.completion)


@torch.inference_mode()
def score_rows(
    model: Any, routing: Routing, rows: Sequence[Scored], adapter: Any, padding: int, most: int
) -> dict[int, TextScore]:
    """Position -> sum over the completion's tokens of log p(token | everything before it), in nats.

    Args:
        most: rows of a batch at most.
    """
    scores: dict[int, TextScore] = {}
    for batch in _batches(rows, most):
        padded = left_padded([row.prompt + row.completion for row in batch], padding, model.device)
        longest = max(len(row.completion) for row in batch)
        with routing.of(routed_rows([adapter] * len(batch))):
            logits = model(
                input_ids=padded.tokens,
                attention_mask=padded.mask,
                position_ids=padded.positions,
                use_cache=False,
                logits_to_keep=longest + 1,
            ).logits
        for index, row in enumerate(batch):
            count = len(row.completion)
            said = torch.tensor(row.completion, device=model.device)[:, None]
            own = logits[index, -count - 1 : -1].to(torch.float32)
            nats = own.gather(1, said)[:, 0] - own.logsumexp(dim=1)
            scores[row.position] = TextScore(float(nats.sum(dtype=torch.float64)), count)
    return scores


def _batches(rows: Sequence[Scored], most: int) -> Iterator[list[Scored]]:
    """Rows of similar length together, the longest first: what does not fit fails at once."""
    batch: list[Scored] = []
    for row in sorted(rows, key=lambda row: (-row.length, row.position)):
        longest = max([len(other.completion) for other in batch] + [len(row.completion)])
        padded = max([other.length for other in batch] + [row.length]) * (len(batch) + 1)
        full = len(batch) >= most or padded > _TOKENS or longest * (len(batch) + 1) > _LOGITS
        if batch and full:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
