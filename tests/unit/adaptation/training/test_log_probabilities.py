"""Log-probabilities against the plain softmax over whole logits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everloop.adaptation.training.log_probabilities import (
    TokenSequence,
    padded,
    score,
    score_all,
    slices,
    teach_scoring,
)
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.speaking import BaseFolder

SEQUENCES = (
    TokenSequence((5, 6, 7), (8, 9)),
    TokenSequence((5,), (11, 12, 13, 14, 15, 2)),
    TokenSequence((40, 41, 42, 43), (44,)),
)


def _model(base: BaseFolder) -> torch.nn.Module:
    from transformers import AutoModelForCausalLM

    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    model.get_output_embeddings().weight.requires_grad_(False)
    return model


def _by_hand(model: torch.nn.Module, sequence: TokenSequence) -> torch.Tensor:
    ids = torch.tensor([[*sequence.prompt, *sequence.completion]])
    found = model(input_ids=ids).logits[0].log_softmax(dim=-1)
    first = len(sequence.prompt)
    return sum(  # type: ignore[return-value]
        found[at - 1, ids[0, at]] for at in range(first, len(sequence))
    )


def test_scores_and_gradients_are_those_of_the_whole_softmax(
    tiny_voice: BaseFolder,
) -> None:
    model = _model(tiny_voice)
    teach_scoring(model)
    weights = torch.tensor([1.0, -2.0, 0.5])
    learned = model.model.layers[0].mlp.up_proj.weight
    expected = torch.stack([_by_hand(model, sequence) for sequence in SEQUENCES])
    (slope,) = torch.autograd.grad((expected * weights).sum(), learned)
    found = score(model, padded(SEQUENCES, 0))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
    (ours,) = torch.autograd.grad((found * weights).sum(), learned)
    torch.testing.assert_close(ours, slope, atol=1e-4, rtol=1e-3)


def test_a_model_that_scores_answers_every_other_call_as_before(
    tiny_voice: BaseFolder,
) -> None:
    model = _model(tiny_voice)
    ids = torch.tensor([[5, 6, 7]])
    before = model(input_ids=ids).logits
    teach_scoring(model)
    assert torch.equal(model(input_ids=ids).logits, before)


def test_scores_do_not_depend_on_who_shares_a_batch(tiny_voice: BaseFolder) -> None:
    model = _model(tiny_voice)
    teach_scoring(model)
    device = torch.device("cpu")
    alone = [score_all(model, [sequence], 0, device)[0] for sequence in SEQUENCES]
    assert score_all(model, SEQUENCES, 0, device) == pytest.approx(alone, abs=0.3)


@pytest.mark.parametrize(("prompt", "completion"), [((), (1,)), ((1,), ())])
def test_half_a_sequence_is_refused(prompt: tuple[int, ...], completion: tuple[int, ...]) -> None:
    with pytest.raises(ShouldFixArgument, match="has no log-probability"):
        TokenSequence(prompt, completion)


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 100))
def test_slices_hold_every_index_once_within_the_budget(lengths: list[int], budget: int) -> None:
    groups = list(slices(lengths, budget))
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or max(lengths[i] for i in group) * len(group) <= budget


def test_rows_are_cut_to_their_own_longest() -> None:
    part = padded(SEQUENCES, 0).rows([2, 0])
    assert part.input_ids.tolist() == [[40, 41, 42, 43, 44], [5, 6, 7, 8, 9]]
    assert part.completion_mask.tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]]
