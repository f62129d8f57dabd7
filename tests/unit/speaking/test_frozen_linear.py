"""Products with weights that are only read are the layers' own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from everloop.speaking.frozen_linear import FrozenLinear


@pytest.mark.parametrize("shape", [(1, 1, 5), (3, 4, 5), (16, 5), (2, 0, 5)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_it_gives_what_the_layer_gives(
    shape: tuple[int, ...], bias: bool, kind: torch.dtype
) -> None:
    torch.manual_seed(3)
    layer = nn.Linear(5, 7, bias=bias).to(kind).requires_grad_(False)
    x = torch.randn(shape).to(kind)
    with torch.inference_mode():
        found, wanted = FrozenLinear(layer)(x), layer(x)
    assert found.dtype is kind
    torch.testing.assert_close(found, wanted)


def test_a_view_of_a_larger_tensor_is_multiplied_as_itself() -> None:
    torch.manual_seed(4)
    layer = nn.Linear(6, 2).requires_grad_(False)
    x = torch.randn(6, 4, 5).transpose(0, 2)[1:, ::2]
    with torch.inference_mode():
        torch.testing.assert_close(FrozenLinear(layer)(x), layer(x))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_gradient_flows_through_it_to_what_came_before(kind: torch.dtype) -> None:
    layer = nn.Linear(2, 2, bias=False).to(kind).requires_grad_(False)
    layer.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    x = torch.ones(1, 2, dtype=kind, requires_grad=True)
    FrozenLinear(layer)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[4.0, 6.0]]
    with torch.no_grad():
        assert FrozenLinear(layer)(x).tolist() == [[3.0, 7.0]]


def test_it_holds_no_weights_of_its_own() -> None:
    layer = nn.Linear(3, 2)
    assert FrozenLinear(layer).layer.weight is layer.weight
