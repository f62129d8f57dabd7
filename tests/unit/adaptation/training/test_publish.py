"""What may leave a training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from everloop.adaptation.training.models import with_adapter
from everloop.adaptation.training.publish import (
    CONFIG,
    WEIGHTS,
    adapter_folder,
    distance,
    publish,
    require_published,
    trained_tensors,
)
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import LoraSpec

ONE = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture(scope="module")
def published(
    tiny_voice: BaseFolder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[AdapterFolder, BaseFolder]:
    model = with_adapter(tiny_voice, LoraSpec(r=4), 3)
    model.add_adapter("ref", model.peft_config["default"])
    return publish(model, tiny_voice, tmp_path_factory.mktemp("a") / "adapter"), tiny_voice


def test_the_reference_beside_it_stays_out(published) -> None:
    folder, base = published

    require_published(folder, base)
    assert sorted(path.name for path in folder.path.iterdir()) == [CONFIG, WEIGHTS]
    tensors = load_file(folder.path / WEIGHTS)
    assert not any("ref" in name for name in tensors)
    assert len(tensors) == 2 * 7 * 2  # layers x projections x (A, B)


def test_the_base_is_named_and_no_path(published) -> None:
    folder, base = published
    text = (folder.path / CONFIG).read_text()

    assert json.loads(text)["base_model_name_or_path"] == base.name
    assert str(base.path) not in text


def test_the_same_adapter_gives_the_same_bytes(published, tmp_path: Path) -> None:
    folder, base = published

    again = publish(with_adapter(base, LoraSpec(r=4), 3), base, tmp_path / "again")

    assert again.sha256 == folder.sha256
    assert again.version == folder.sha256[:12]


def test_publishing_replaces_what_was_there(published, tmp_path: Path) -> None:
    _, base = published
    out = tmp_path / "adapter"
    first = publish(with_adapter(base, LoraSpec(r=4), 1), base, out)
    second = publish(with_adapter(base, LoraSpec(r=4), 2), base, out)

    assert first.sha256 != second.sha256 == adapter_folder(out).sha256
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def _named_ref(tensors: dict[str, torch.Tensor]) -> None:
    tensors[ONE.replace("lora_A", "lora_A.ref")] = tensors.pop(ONE)


def _extra_ref(tensors: dict[str, torch.Tensor]) -> None:
    tensors[ONE.replace("lora_A.weight", "lora_A.ref.weight")] = tensors[ONE].clone()


def _nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors[ONE][0, 0] = float("nan")


def _infinite(tensors: dict[str, torch.Tensor]) -> None:
    tensors[ONE][0, 0] = float("inf")


def _elsewhere(tensors: dict[str, torch.Tensor]) -> None:
    tensors[ONE.replace("layers.0", "layers.7")] = tensors.pop(ONE)


def _half(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[ONE]


def _wider(tensors: dict[str, torch.Tensor]) -> None:
    tensors[ONE] = torch.zeros(4, 65)


def _nothing(tensors: dict[str, torch.Tensor]) -> None:
    tensors.clear()


@pytest.mark.parametrize(
    "damage", [_named_ref, _extra_ref, _nan, _infinite, _elsewhere, _half, _wider, _nothing]
)
def test_what_is_no_adapter_of_the_base_is_refused(
    published, tmp_path: Path, damage: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    folder, base = published
    tensors = load_file(folder.path / WEIGHTS)
    damage(tensors)
    save_file(tensors, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_bytes((folder.path / CONFIG).read_bytes())

    with pytest.raises(ShouldRestoreArtefact):
        require_published(adapter_folder(tmp_path), base)


@pytest.mark.parametrize("name", ["optimizer.pt", "README.md", "training_args.bin"])
def test_another_file_beside_it_is_refused(published, tmp_path: Path, name: str) -> None:
    folder, base = published
    for file in (CONFIG, WEIGHTS):
        (tmp_path / file).write_bytes((folder.path / file).read_bytes())
    (tmp_path / name).write_bytes(b"x")

    with pytest.raises(ShouldRestoreArtefact, match="not an adapter alone"):
        require_published(adapter_folder(tmp_path), base)


def test_an_adapter_of_another_base_is_refused(published) -> None:
    folder, base = published

    with pytest.raises(ShouldRestoreArtefact, match="sits on"):
        require_published(folder, dataclasses.replace(base, name="another"))


def test_what_may_not_be_published_is_not_written(published, tmp_path: Path) -> None:
    _, base = published
    model = with_adapter(base, LoraSpec(r=4), 1)
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if "lora_B" in n).fill_(float("nan"))

    with pytest.raises(ShouldRestoreArtefact, match="not finite"):
        publish(model, base, tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == []


def test_distance_is_euclidean() -> None:
    one = {"a": torch.tensor([3.0]), "b": torch.tensor([[1.0, 4.0]])}
    other = {"a": torch.tensor([0.0]), "b": torch.tensor([[1.0, 0.0]])}

    assert distance(one, other) == 5.0


def test_a_new_adapter_is_of_its_seed_and_leaves_the_generator_alone(published) -> None:
    _, base = published
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    models = [with_adapter(base, LoraSpec(r=4), seed) for seed in (1, 1, 2)]

    assert torch.equal(torch.rand(1), expected)
    one, same, other = (trained_tensors(model) for model in models)
    assert distance(one, same) == 0.0
    assert distance(one, other) > 0.0
    trainable = [p for p in models[0].parameters() if p.requires_grad]
    assert {p.dtype for p in trainable} == {torch.float32}
    assert {p.dtype for p in models[0].parameters() if not p.requires_grad} == {torch.bfloat16}
