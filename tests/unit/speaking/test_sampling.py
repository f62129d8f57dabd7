"""Draws of tokens: their distribution, the nucleus, the penalty."""

from __future__ import annotations

import math

import pytest
import torch

from everloop.contracts.voice_spec import GenerationSpec
from everloop.speaking.sampling import Sampler

NOTHING = torch.tensor([], dtype=torch.long)


def sampler(seed: int = 0, prompt: torch.Tensor = NOTHING, **drawn: float) -> Sampler:
    told = {"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0} | drawn
    return Sampler(GenerationSpec.model_validate(told), seed, prompt)


def test_tokens_come_as_often_as_their_probability_says() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    draws = sampler(seed=1)
    counts = torch.bincount(torch.tensor([draws.next(logits) for _ in range(4000)]), minlength=3)
    for share, count in zip((0.5, 0.3, 0.2), counts.tolist(), strict=True):
        # Four standard deviations of a binomial share.
        assert count / 4000 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4000))


def test_temperature_sharpens() -> None:
    logits = torch.tensor([1.0, 0.0])
    cold = sampler(seed=1, temperature=0.25)
    share = sum(cold.next(logits) == 0 for _ in range(2000)) / 2000
    assert share == pytest.approx(1 / (1 + math.exp(-4)), abs=0.02)


def test_the_nucleus_is_the_smallest_set_that_has_top_p() -> None:
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    for top_p, inside in ((0.4, {1}), (0.6, {1, 3}), (0.8, {1, 2, 3}), (1.0, {0, 1, 2, 3})):
        draws = sampler(top_p=top_p)
        assert {draws.next(logits) for _ in range(300)} == inside


def test_a_wide_nucleus_is_looked_at_as_a_whole() -> None:
    draws = sampler(top_p=1.0, seed=3)
    drawn = {draws.next(torch.zeros(2000)) for _ in range(600)}
    assert len(drawn) > 450  # 518 of 600 draws from 2000 are expected to be new
    assert max(drawn) > 1900


def test_what_was_said_is_said_less_often() -> None:
    prompt = torch.tensor([1])
    assert sampler(prompt=prompt, temperature=0).next(torch.tensor([1.0, 1.05])) == 1
    once = sampler(prompt=prompt, temperature=0, repetition_penalty=1.1)
    assert once.next(torch.tensor([1.0, 1.05])) == 0
    assert once.next(torch.tensor([1.0, 1.05])) == 1  # both were said now
    below = sampler(prompt=prompt, temperature=0, repetition_penalty=1.1)
    assert below.next(torch.tensor([-1.0, -0.95])) == 0


def test_tokens_that_change_places_change_no_draw() -> None:
    logits = torch.tensor([0.25, 0.25, 0.25, 0.25]).log()
    nudged = logits + torch.tensor([1e-7, -1e-7, 2e-7, 0.0])
    one, other = sampler(seed=7), sampler(seed=7)
    assert [one.next(logits) for _ in range(200)] == [other.next(nudged) for _ in range(200)]
