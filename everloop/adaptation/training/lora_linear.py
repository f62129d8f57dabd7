"""A frozen linear layer with its adapter, as one function that keeps little for the backward pass.

PEFT's layer keeps the input several times (in float32, after dropout, in bfloat16) for each of seven
projections. Here the input is kept once, as it came, with dropout's mask and the narrow product of rank r;
projections that share an input share what is kept. The arithmetic is PEFT's:
y = x W^T + b + scaling * (dropout(x) A^T) B^T, in autocast's type, with gradients in the adapter's.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from peft import PeftModel

_DRAWS = 2**16


class _LoraLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        inputs: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
        dropout: float,
    ) -> torch.Tensor:
        kind = _kind(inputs)
        rows = inputs.reshape(-1, inputs.shape[-1]).to(kind)
        result = torch.nn.functional.linear(rows, weight.to(kind), _to(bias, kind))
        mask, kept_share = _mask(rows, dropout)
        # What dropout multiplies by is multiplied into the narrow side.
        scaling /= kept_share
        narrow = _masked(rows, mask) @ down.to(kind).T
        result.addmm_(narrow, up.to(kind).T, alpha=scaling)
        context.save_for_backward(rows, mask, narrow, weight, down, up)
        context.scaling, context.kind = scaling, inputs.dtype
        return result.view(*inputs.shape[:-1], len(weight))

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, mask, narrow, weight, down, up = context.saved_tensors
        kind = rows.dtype
        grown = gradients[0].reshape(-1, len(weight)).to(kind)
        of_narrow = (grown @ up.to(kind)).mul_(context.scaling)
        of_down = (of_narrow.T @ _masked(rows, mask)).to(down.dtype)
        of_up = (grown.T @ narrow).to(up.dtype).mul_(context.scaling)
        of_inputs = None
        if context.needs_input_grad[0]:
            of_inputs = _masked(of_narrow @ down.to(kind), mask)
            of_inputs.addmm_(grown, weight.to(kind))
            of_inputs = of_inputs.view(*gradients[0].shape[:-1], -1).to(context.kind)
        return of_inputs, None, None, of_down, of_up, None, None


def _mask(rows: torch.Tensor, dropout: float) -> tuple[torch.Tensor | None, float]:
    """(n, d) of 0 and 1, and which share is 1; a draw has 16 bits, four times as cheap as one each."""
    if dropout <= 0.0:
        return None, 1.0
    dropped = round(dropout * _DRAWS)
    words = torch.empty(-(-rows.numel() // 4), dtype=torch.int64, device=rows.device)
    draws = words.random_(-(2**63), None).view(torch.int16)[: rows.numel()]
    # As bytes, since products with booleans are slow.
    mask = (draws >= dropped - _DRAWS // 2).view(torch.uint8).view(rows.shape)
    return mask, 1.0 - dropped / _DRAWS


def _masked(rows: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return rows if mask is None else rows * mask


def keep_little(model: PeftModel) -> PeftModel:
    """Let every plain LoRA layer of a model train by this function; evaluation stays PEFT's."""
    from peft.tuners.lora import Linear  # noqa: PLC0415

    for module in model.modules():
        if isinstance(module, Linear) and not module.lora_variant and not module.fan_in_fan_out:
            module.forward = types.MethodType(_forward, module)  # type: ignore[method-assign]
    return model


def _forward(self: Any, inputs: torch.Tensor, *args: Any, **given: Any) -> Any:
    name = self.active_adapters[0] if len(self.active_adapters) == 1 else None
    plain = self.training and not (args or given or self.disable_adapters or self.merged)
    if not plain or name not in self.lora_A:
        return type(self).forward(self, inputs, *args, **given)
    drop = self.lora_dropout[name]
    return _LoraLinear.apply(  # type: ignore[no-untyped-call]
        inputs,
        self.base_layer.weight,
        self.base_layer.bias,
        self.lora_A[name].weight,
        self.lora_B[name].weight,
        self.scaling[name],
        float(getattr(drop, "p", 0.0)),
    )


def _kind(inputs: torch.Tensor) -> torch.dtype:
    device = inputs.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return inputs.dtype


def _to(tensor: torch.Tensor | None, kind: torch.dtype) -> torch.Tensor | None:
    return None if tensor is None else tensor.to(kind)
