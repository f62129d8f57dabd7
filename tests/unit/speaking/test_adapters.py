"""Adapters: verified, plain, finite, and of their base's shapes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
)
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.speaking.adapters import (
    CONFIG,
    WEIGHTS,
    adapter_files,
    open_adapter,
    read_adapter,
    require_base,
    unpack_adapter,
)
from everloop.speaking.engine import Engine
from tests.made_adapters import drawn_adapter, written_adapter


@pytest.fixture
def adapter(tiny_voice: BaseFolder, tmp_path: Path) -> AdapterFolder:
    return drawn_adapter(tmp_path / "drawn", tiny_voice, seed=1)


def test_an_adapter_is_read_with_its_scale(adapter: AdapterFolder, tiny_voice: BaseFolder) -> None:
    assert open_adapter(adapter.path, tiny_voice) == adapter
    assert open_adapter(adapter.path, tiny_voice, "v7").version == "v7"
    weights = read_adapter(adapter, tiny_voice)
    assert weights.scale == 2.0  # alpha 8 / r 4
    assert len(weights.modules) == 14
    down, up = weights.modules["model.layers.0.mlp.down_proj"]
    assert (tuple(down.shape), tuple(up.shape)) == ((4, 112), (64, 4))


def test_rank_stabilised_adapters_have_their_own_scale(
    adapter: AdapterFolder, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    tensors = load_file(adapter.path / WEIGHTS)
    stable = written_adapter(tmp_path / "stable", tiny_voice, tensors, use_rslora=True)
    assert read_adapter(stable, tiny_voice).scale == 4.0  # alpha 8 / sqrt(4)


def test_a_changed_adapter_is_refused(adapter: AdapterFolder, tiny_voice: BaseFolder) -> None:
    for name in (WEIGHTS, CONFIG):
        path = adapter.path / name
        whole = path.read_bytes()
        path.write_bytes(whole + b" ")
        with pytest.raises(ShouldRestoreArtefact, match="SHA-256"):
            read_adapter(adapter, tiny_voice)
        with pytest.raises(ShouldRestoreArtefact, match="SHA-256"):
            open_adapter(adapter.path, tiny_voice, expected_sha256=adapter.sha256)
        path.write_bytes(whole)
    read_adapter(adapter, tiny_voice)


def test_what_may_not_speak_is_refused(
    adapter: AdapterFolder, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    tensors = load_file(adapter.path / WEIGHTS)
    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"

    def refused(match: str, name: str, changed: dict[str, torch.Tensor], **told: object) -> None:
        folder = written_adapter(tmp_path / name, tiny_voice, changed, **told)
        with pytest.raises(ShouldRestoreArtefact, match=match):
            open_adapter(folder.path, tiny_voice)

    refused("is not finite", "nan", tensors | {first: tensors[first] * float("nan")})
    refused("needs", "shape", tensors | {first: torch.zeros(4, 32)})
    refused("lacks one half", "half", {n: t for n, t in tensors.items() if n != first})
    moved = {n.replace("layers.0", "layers.9"): t for n, t in tensors.items()}
    refused("has no module model.layers.9", "module", moved)
    reference = tensors | {first.replace(".weight", ".ref.weight"): tensors[first] + 0}
    refused("no tensor of an adapter", "ref", reference)
    refused("no tensor of an adapter", "head", tensors | {"lm_head.weight": torch.zeros(2, 2)})
    refused("lacks one half of everything", "empty", {})
    refused("no plain LoRA", "dora", tensors, use_dora=True)
    refused("no plain LoRA", "saved", tensors, modules_to_save=["lm_head"])
    refused("no plain LoRA", "bias", tensors, bias="all")
    refused("no plain LoRA", "kind", tensors, peft_type="IA3")
    refused("needs", "rank", tensors, r=8)


def test_only_an_adapter_lies_in_its_folder(adapter: AdapterFolder, tiny_voice: BaseFolder) -> None:
    (adapter.path / "notes.txt").write_text("hello")
    with pytest.raises(ShouldRestoreArtefact, match=r"notes\.txt"):
        open_adapter(adapter.path, tiny_voice)
    (adapter.path / "notes.txt").rename(adapter.path / "optimizer.pt")
    with pytest.raises(ShouldFixArgument, match="pickle"):
        open_adapter(adapter.path, tiny_voice)
    (adapter.path / "optimizer.pt").unlink()
    (adapter.path / CONFIG).unlink()
    with pytest.raises(ShouldRestoreArtefact, match=CONFIG):
        open_adapter(adapter.path, tiny_voice)


def test_what_was_packed_comes_back(
    adapter: AdapterFolder, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    blobs = {
        name: path.rename(tmp_path / f"blob-{index}")
        for index, (name, path) in enumerate(adapter_files(adapter).items())
    } | {"card.md": tmp_path / "not-read"}
    back = unpack_adapter(blobs, tiny_voice, "checkpoint-1", tmp_path / "cache")
    assert (back.version, back.sha256) == ("checkpoint-1", adapter.sha256)
    assert unpack_adapter(blobs, tiny_voice, "checkpoint-1", tmp_path / "cache") == back
    assert len(list((tmp_path / "cache").iterdir())) == 1
    with pytest.raises(ShouldRestoreArtefact, match=CONFIG):
        unpack_adapter({WEIGHTS: blobs[WEIGHTS]}, tiny_voice, "checkpoint-1", tmp_path / "cache")


def test_an_adapter_speaks_on_the_base_alone_that_it_was_trained_on(tiny_voice: BaseFolder) -> None:
    def of(**lineage: str) -> ModelCheckpoint:
        return ModelCheckpoint(
            checkpoint_id="checkpoint-1",
            model_type=ModelType.ADAPTER,
            loop="coach",
            weights_url="blob:",
            weights_sha256="0" * 64,
            performance_metrics={},
            training_date=datetime(2026, 1, 1, tzinfo=UTC),
            provenance=Provenance.CONSENTED_TEXT,
            lineage=lineage,
            verdict="continue",
        )

    require_base(of(base=tiny_voice.sha256), tiny_voice)
    with pytest.raises(ShouldFixArgument, match=f"v7 was trained on base abc, .*{tiny_voice.name}"):
        require_base(of(version="v7", base="abc"), tiny_voice)
    with pytest.raises(ShouldFixArgument, match="checkpoint-1 was trained on an unknown base"):
        require_base(of(), tiny_voice)


def test_a_version_is_one_adapter(
    adapter: AdapterFolder, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    engine = Engine(tiny_voice, device="cpu")
    engine.load(adapter)
    engine.load(adapter)
    assert engine.versions == {adapter.version}
    other = replace(drawn_adapter(tmp_path / "other", tiny_voice, 2), version=adapter.version)
    with pytest.raises(ShouldResolveConflict, match=adapter.sha256):
        engine.load(other)
    with pytest.raises(ShouldFixArgument, match="no version"):
        engine.load(replace(adapter, version=""))
    embedding = {
        "base_model.model.model.embed_tokens.lora_A.weight": torch.zeros(4, 64),
        "base_model.model.model.embed_tokens.lora_B.weight": torch.zeros(600, 4),
    }
    lost = written_adapter(tmp_path / "lost", tiny_voice, embedding)
    with pytest.raises((ShouldFixArgument, ShouldRestoreArtefact), match="embed_tokens"):
        engine.load(lost)
    engine.unload(adapter.version)
    engine.unload(adapter.version)
    assert engine.versions == frozenset()


@pytest.mark.parametrize(
    "config",
    [
        '{"r": 1e400, "lora_alpha": 8}',
        '{"r": 4.0, "lora_alpha": 8}',
        '{"r": true, "lora_alpha": 8}',
        '{"r": 4, "lora_alpha": 1' + "0" * 400 + "}",
        '{"r": 1' + "0" * 400 + ', "lora_alpha": 8, "peft_type": "LORA", "bias": "none"}',
        "[" * 50_000,
        '{"r": 4, "lora_alpha": 8, "note": "' + "a" * 70_000 + '"}',
        '["r"]',
        "\\ud800",
    ],
)
def test_a_configuration_that_is_none_is_refused_as_ours(
    adapter: AdapterFolder, tiny_voice: BaseFolder, config: str
) -> None:
    (adapter.path / CONFIG).write_text(config)
    with pytest.raises(ShouldRestoreArtefact, match="Adapter"):
        open_adapter(adapter.path, tiny_voice)


def test_weights_that_are_too_many_are_not_read(
    adapter: AdapterFolder, tiny_voice: BaseFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (adapter.path / WEIGHTS).open("ab") as file:
        file.truncate(64 * 1024 * 1024)
    monkeypatch.setattr("everloop.speaking.adapters.load_file", None)
    with pytest.raises(ShouldRestoreArtefact, match="67108864 bytes"):
        open_adapter(adapter.path, tiny_voice)
