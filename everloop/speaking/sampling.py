"""Draws of the next token, each answer with its own generator.

A draw goes through the tokens in the order of their numbers, not of their probabilities: two equally likely
tokens that change places in the last bit of a sum move nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from everloop.contracts.voice_spec import GenerationSpec

_FIRST = 256
"""Likeliest tokens that are looked at first; the rest only where they do not reach ``top_p``."""
_SEEDS = 1 << 64


class Sampler:
    """One answer's choices, from its own seed.

    Args:
        prompt: the tokens that the answer follows; the penalty counts them as said.
    """

    def __init__(self, generation: GenerationSpec, seed: int, prompt: Tensor) -> None:
        self._generation = generation
        self._random = np.random.default_rng(seed % _SEEDS)
        self._said = torch.unique(prompt)

    def next(self, logits: Tensor) -> int:
        """The next token of logits of shape (V,); counted as said.

        Logits of tokens that were said are divided by the penalty where they are above 0 and multiplied
        where they are below (Keskar et al. 2019, arXiv:1909.05858); then softmax at the temperature, cut
        to the smallest set that has ``top_p`` (Holtzman et al. 2020, arXiv:1904.09751).
        """
        scores = self._penalised(logits.to(torch.float32))
        if self._generation.temperature == 0.0:
            token = int(scores.argmax())
        else:
            token = self._drawn(scores / self._generation.temperature)
        if not bool((self._said == token).any()):
            self._said = torch.cat([self._said, self._said.new_tensor([token])])
        return token

    def _penalised(self, scores: Tensor) -> Tensor:
        penalty = self._generation.repetition_penalty
        if penalty == 1.0:
            return scores
        said = scores[self._said]
        return scores.index_put(
            (self._said,), torch.where(said > 0, said / penalty, said * penalty)
        )

    def _drawn(self, scores: Tensor) -> int:
        tokens, weights = self._nucleus(scores)
        order = np.argsort(tokens)
        summed = np.cumsum(weights[order])
        at = int(np.searchsorted(summed, self._random.random() * summed[-1], side="right"))
        return int(tokens[order[min(at, len(order) - 1)]])

    def _nucleus(self, scores: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and their probabilities, likeliest first, until they have ``top_p``."""
        total = torch.logsumexp(scores, dim=0)
        for count in (min(_FIRST, len(scores)), len(scores)):
            found = torch.topk(scores, count)
            weights = (found.values - total).exp().to("cpu", torch.float64).numpy()
            before = np.cumsum(weights) - weights
            inside = before < self._generation.top_p
            if not inside.all() or count == len(scores):
                break
        return found.indices.to("cpu").numpy()[inside], weights[inside]
