"""What an adapter's configuration asks for is done, or it is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.speaking import BaseFolder
from everloop.speaking.adapter_config import rank_and_scale
from everloop.speaking.adapters import WEIGHTS, open_adapter
from tests.made_adapters import drawn_adapter, written_adapter


def config(**told: Any) -> bytes:
    plain = {"peft_type": "LORA", "bias": "none", "r": 4, "lora_alpha": 8}
    return json.dumps(plain | told).encode()


def test_all_that_the_installed_peft_writes_of_a_plain_lora_is_known() -> None:
    from peft import LoraConfig

    made: Any = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
    written = made.to_dict() | {"peft_type": "LORA"}
    assert rank_and_scale(json.dumps(written).encode()) == (4, 2.0)
    assert rank_and_scale(json.dumps(written | {"use_rslora": True}).encode()) == (4, 4.0)
    told = {"task_type": "CAUSAL_LM", "lora_dropout": 0.5, "init_lora_weights": "gaussian"}
    assert rank_and_scale(json.dumps(written | told).encode()) == (4, 2.0)


@pytest.mark.parametrize(
    "asked",
    [
        {"use_dora": True},
        {"use_rslora": "false"},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"q_proj": 8}},
        {"alpha_pattern": {"q_proj": 1}},
        {"bias": "lora_only"},
        {"bias": None},
        {"fan_in_fan_out": True},
        {"layers_to_transform": [0]},
        {"layers_to_transform": 0},
        {"layers_pattern": "layers"},
        {"exclude_modules": ["q_proj"]},
        {"layer_replication": [[0, 1]]},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": 1},
        {"loftq_config": {"loftq_bits": 4}},
        {"task_type": "SEQ_CLS"},
        {"peft_type": "ADALORA"},
        {"trainable_token_indices": [3]},
        {"scaling_of_another_kind": None},
        {"scaling_of_another_kind": 2},
    ],
)
def test_what_would_not_be_done_is_refused_by_its_name(asked: dict[str, Any]) -> None:
    ((name, _),) = asked.items()
    with pytest.raises(ValueError, match=f"no plain LoRA.*{name}="):
        rank_and_scale(config(**asked))


def test_one_that_does_not_say_what_it_is_is_refused() -> None:
    told = json.dumps({"r": 4, "lora_alpha": 8}).encode()
    with pytest.raises(ValueError, match=r"bias=None, peft_type=None"):
        rank_and_scale(told)


def test_an_adapter_with_an_unknown_entry_is_no_adapter(
    tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    tensors = load_file(drawn_adapter(tmp_path / "drawn", tiny_voice, seed=1).path / WEIGHTS)
    told: dict[str, Any] = {"layers_to_transform": [0], "another": 1}
    folder = written_adapter(tmp_path / "asking", tiny_voice, tensors, **told)
    with pytest.raises(ShouldRestoreArtefact, match=r"another=1, layers_to_transform=\[0\]"):
        open_adapter(folder.path, tiny_voice)
