"""Our layer beside PEFT's: the same numbers, and what dropout does to them."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from everloop.adaptation.training.lora_linear import keep_little


class _Net(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.first = nn.Linear(12, 20, bias=bias)
        self.second = nn.Linear(20, 8, bias=bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(inputs)))


def net(dropout: float = 0.0, bias: bool = True) -> PeftModel:
    torch.manual_seed(3)
    config = LoraConfig(
        r=4, lora_alpha=12, lora_dropout=dropout, target_modules=["first", "second"]
    )
    made = get_peft_model(_Net(bias), config)
    for name, parameter in made.named_parameters():
        if "lora_B" in name:  # it begins at 0, where A has no gradient
            nn.init.normal_(parameter)
    return made.train()


def gradients(model: PeftModel, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    inputs = inputs.clone().requires_grad_()
    out = model(inputs)
    (out * torch.arange(out.numel()).view(out.shape)).sum().backward()
    learned = [p.grad for p in model.parameters() if p.requires_grad]
    return (out.detach(), inputs.grad, *learned)


@pytest.mark.parametrize("bias", [True, False])
def test_it_is_pefts_layer(bias: bool) -> None:
    inputs = torch.randn(3, 5, 12)

    ours = gradients(keep_little(net(bias=bias)), inputs)
    theirs = gradients(net(bias=bias), inputs)

    assert len(ours) == len(theirs) == 6
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)
        assert float(other.abs().max()) > 0


def test_in_autocast_it_is_pefts_to_bfloat16() -> None:
    inputs = torch.randn(6, 12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = (
            gradients(keep_little(net().to(torch.bfloat16).float()), inputs),
            gradients(net().to(torch.bfloat16).float(), inputs),
        )

    assert ours[0].dtype == torch.bfloat16
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(
            one.float(), other.float(), rtol=0.05, atol=0.02 * float(other.abs().max())
        )
    assert {gradient.dtype for gradient in ours[2:]} == {torch.float32}


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    """Of the adapter's side alone: 0.25 of its inputs are 0, the others are divided by 0.75."""
    config = LoraConfig(r=4, lora_alpha=4, lora_dropout=0.25, target_modules=["0"])
    model = keep_little(get_peft_model(nn.Sequential(nn.Linear(4, 4, bias=False)), config)).train()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.zeros(4, 4) if "base_layer" in name else torch.eye(4))
    torch.manual_seed(1)
    inputs = torch.ones(20_000, 4, requires_grad=True)

    out = model(inputs)
    out.sum().backward()

    dropped = out == 0
    assert float(dropped.float().mean()) == pytest.approx(0.25, abs=0.01)
    assert torch.allclose(out[~dropped], torch.tensor(4 / 3))
    # The backward pass drops what the forward pass dropped.
    assert torch.equal(inputs.grad == 0, dropped)
    assert torch.allclose(inputs.grad[~dropped], torch.tensor(4 / 3))


def test_equal_seeds_drop_alike() -> None:
    inputs = torch.randn(7, 12)
    model = keep_little(net(dropout=0.5))
    torch.manual_seed(5)
    one = model(inputs)
    torch.manual_seed(5)
    same = model(inputs)

    assert torch.equal(one, same)
    assert not torch.equal(one, model(inputs))


def test_evaluation_and_a_disabled_adapter_are_pefts() -> None:
    inputs = torch.randn(2, 12)
    ours, theirs = keep_little(net(dropout=0.5)), net(dropout=0.5)

    assert torch.equal(ours.eval()(inputs), theirs.eval()(inputs))
    with ours.train().disable_adapter(), theirs.train().disable_adapter():
        assert torch.equal(ours(inputs), theirs(inputs))


def test_gradients_are_those_of_differences() -> None:
    model = keep_little(net().double())
    inputs = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(model, (inputs,))
