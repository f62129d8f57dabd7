"""A base with an adapter merged into it, as one GGUF file for other runtimes: float16, norms in float32.

``W' = W + scale B A`` is computed in float32 and rounded once. Queries' and keys' rows are permuted as
llama.cpp's ``convert_hf_to_gguf.py`` does it, and their biases with them: its rotary embedding pairs
neighbours.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everloop.contracts import documents
from everloop.contracts.errors import ShouldFixArgument, ShouldFreeDisk
from everloop.contracts.model_folders import require_unchanged
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.speaking.adapters import AdapterWeights, read_adapter

_NORMAL, _CONTROL, _USER = 1, 3, 4
"""``gguf.TokenType``."""


def export_gguf(base: BaseFolder, adapter: AdapterFolder | None, out: Path) -> str:
    """Write base and adapter merged to ``out``, which appears whole; the file's SHA-256.

    Raises:
        ShouldFixArgument: the base is no Llama, scales its rotary embedding, or its tokenizer is no
            byte-level BPE.
        ShouldRestoreArtefact: base or adapter is damaged.
        ShouldFreeDisk: it did not fit; nothing is left of it.
    """
    from transformers import AutoConfig, AutoTokenizer  # noqa: PLC0415

    require_unchanged(base)
    config = AutoConfig.from_pretrained(base.path, local_files_only=True)
    if config.model_type != "llama":
        raise ShouldFixArgument(
            f"{base.name} is of type {config.model_type!r}: only Llamas are exported.",
            "Serve it with everloop, or convert its folder with llama.cpp.",
        )
    rope = str(config.rope_parameters.get("rope_type", "default"))
    if rope != "default":
        raise ShouldFixArgument(
            f"{base.name} scales its rotary embedding by {rope!r}, which is not written: another runtime "
            "would say something else.",
            "Serve it with everloop, or convert its folder with llama.cpp.",
        )
    weights = None if adapter is None else read_adapter(adapter, base)
    tokenizer = AutoTokenizer.from_pretrained(base.path, local_files_only=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    os.close(handle)
    partial = Path(name)
    try:
        _write(partial, base, config, tokenizer, weights)
        sha256 = documents.sha256_of(partial)
        partial.replace(out)
        return sha256
    except OSError as problem:
        if not documents.is_full_disk(problem):
            raise
        raise ShouldFreeDisk(f"No room to write {out}.", "Free disk space and repeat.") from problem
    finally:
        partial.unlink(missing_ok=True)


def _write(
    path: Path, base: BaseFolder, config: Any, tokenizer: Any, weights: AdapterWeights | None
) -> None:
    from gguf import GGUFWriter  # noqa: PLC0415

    writer = GGUFWriter(path, "llama")
    heads, width = config.num_attention_heads, config.hidden_size
    writer.add_name(base.name)
    writer.add_license(base.license)
    writer.add_string("everloop.base", base.sha256)
    writer.add_string("everloop.adapter", "" if weights is None else weights.sha256)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(getattr(config, "head_dim", None) or width // heads)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(1)  # mostly float16
    _add_tokenizer(writer, tokenizer, config.vocab_size)
    _add_tensors(writer, base, config, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, tokenizer: Any, size: int) -> None:
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    if told["model"]["type"] != "BPE" or "ByteLevel" not in json.dumps(told["pre_tokenizer"]):
        raise ShouldFixArgument(
            "The base's tokenizer is no byte-level BPE.", "Convert its folder with llama.cpp."
        )
    ids = {index: token for token, index in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    kinds = {index: _CONTROL if token.special else _USER for index, token in added.items()}
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in told["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    digits = "Digits" in json.dumps(told["pre_tokenizer"])
    writer.add_tokenizer_pre("smollm" if digits else "gpt-2")
    writer.add_token_list([ids.get(index, f"[PAD{index}]") for index in range(size)])
    writer.add_token_types(
        [kinds.get(index, _NORMAL if index in ids else _USER) for index in range(size)]
    )
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)


def _add_tensors(
    writer: Any, base: BaseFolder, config: Any, weights: AdapterWeights | None
) -> None:
    from gguf import MODEL_ARCH, get_tensor_name_map  # noqa: PLC0415
    from safetensors import safe_open  # noqa: PLC0415

    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for path in sorted(base.path.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no mapping
                called = names.get_name(name, try_suffixes=(".weight", ".bias"))
                if called is None:
                    raise ShouldFixArgument(f"GGUF has no place for {name}.", "Export a Llama.")
                merged = _merged(name, file.get_tensor(name).float(), weights)
                writer.add_tensor(called, _permuted(name, merged, config))


def _merged(name: str, tensor: Any, weights: AdapterWeights | None) -> NDArray[np.float32]:
    pair = None if weights is None else weights.modules.get(name.removesuffix(".weight"))
    if weights is not None and pair is not None:
        down, up = pair
        tensor = tensor + weights.scale * (up @ down)
    found: NDArray[np.float32] = tensor.numpy()
    return found


def _permuted(name: str, tensor: NDArray[np.float32], config: Any) -> NDArray[Any]:
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = heads.get(name.rpartition(".")[0].rpartition(".")[2])
    if count is not None:
        halves = tensor.reshape(count, 2, tensor.shape[0] // count // 2, *tensor.shape[1:])
        tensor = halves.swapaxes(1, 2).reshape(tensor.shape)
    return tensor if tensor.ndim == 1 else tensor.astype(np.float16)
