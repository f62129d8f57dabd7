"""Adapters of a base with drawn weights, as a training would publish them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from everloop.contracts.model_folders import folder_sha256
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.speaking.adapters import CONFIG, WEIGHTS, matrix_shapes

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def drawn_adapter(
    folder: Path, base: BaseFolder, seed: int, size: float = 0.2, rank: int = 4
) -> AdapterFolder:
    """An adapter of all seven projections whose entries are normal with deviation ``size``."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, (rows, columns) in sorted(matrix_shapes(base).items()):
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in TARGETS:
            for half, shape in (("A", (rank, columns)), ("B", (rows, rank))):
                drawn = torch.randn(shape, generator=generator) * size
                tensors[f"base_model.model.{module}.lora_{half}.weight"] = drawn
    return written_adapter(folder, base, tensors, rank)


def written_adapter(
    folder: Path,
    base: BaseFolder,
    tensors: dict[str, torch.Tensor],
    rank: int = 4,
    **told: object,
) -> AdapterFolder:
    """An adapter folder of some tensors; ``told`` replaces entries of its configuration."""
    folder.mkdir(parents=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config: dict[str, object] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.05,
        "bias": "none",
        "target_modules": list(TARGETS),
        "inference_mode": True,
    }
    (folder / CONFIG).write_text(json.dumps(config | told, indent=2, sort_keys=True))
    sha256 = folder_sha256(folder)
    return AdapterFolder(sha256[:12], folder, sha256)
