"""What an ``adapter_config.json`` may say: all that PEFT writes of a plain LoRA, and nothing else.

An entry that is not known here asks for something that would not be done, and nobody would hear it.
"""

from __future__ import annotations

import json
import math
from typing import Any

_HIGHEST_RANK = 65_536
_OFF: tuple[Any, ...] = (None, False, {}, [])
_SAID: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "task_type": (None, "CAUSAL_LM"),
    "init_lora_weights": (True, False, "gaussian"),
    "use_rslora": (None, False, True),
}
"""Entries with the values that are understood. Other ways to begin, such as PiSSA, change the base too."""
_REQUIRED = frozenset({"peft_type", "bias"})
_SILENT = frozenset(
    {
        "r",
        "lora_alpha",
        "auto_mapping",
        "base_model_name_or_path",
        "inference_mode",
        "lora_dropout",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
        "target_modules",
    }
)
"""Read elsewhere, or nothing that a spoken word depends on: tensors name their modules themselves."""
_UNUSED = frozenset(
    {
        "alora_invocation_tokens",
        "alpha_pattern",
        "arrow_config",
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "fan_in_fan_out",
        "kasa_config",
        "layer_replication",
        "layers_pattern",
        "layers_to_transform",
        "loftq_config",
        "lora_bias",
        "lora_ga_config",
        "megatron_config",
        "modules_to_save",
        "monteclora_config",
        "rank_pattern",
        "target_parameters",
        "trainable_token_indices",
        "use_bdlora",
        "use_dora",
        "use_qalora",
        "velora_config",
    }
)
"""What is not done: each has to be off."""


def rank_and_scale(text: bytes) -> tuple[int, float]:
    """Rank of an adapter, >= 1, and what multiplies ``B A x``: ``alpha / r``, or ``alpha / sqrt(r)`` with
    ``use_rslora``.

    Raises:
        ValueError, KeyError, TypeError, OverflowError, RecursionError: it is no configuration, or asks for
            more than a plain LoRA; a ``ValueError`` names each entry.
    """
    told = json.loads(text)
    rank, alpha = told["r"], float(told["lora_alpha"])
    if type(rank) is not int or rank > _HIGHEST_RANK:
        raise TypeError(f"r={rank!r:.40} is no rank")
    wrong = sorted(name for name in told.keys() | _REQUIRED if not _understood(name, told))
    if wrong or rank < 1 or not math.isfinite(alpha):
        asked = "".join(f", {name:.40}={told.get(name)!r:.40}" for name in wrong[:20])
        raise ValueError(f"it is no plain LoRA: r={rank}, lora_alpha={alpha}{asked}")
    return rank, alpha / (math.sqrt(rank) if told.get("use_rslora") else rank)


def _understood(name: str, told: dict[str, Any]) -> bool:
    if name in _SILENT:
        return True
    value = told.get(name)
    known = _SAID.get(name, _OFF if name in _UNUSED else ())
    return any(type(value) is type(one) and value == one for one in known)
