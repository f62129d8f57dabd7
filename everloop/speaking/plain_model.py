"""Loads a published model and writes it plain: dense bfloat16 weights that can be trained and saved.

A model that was loaded from GGUF can do neither, whatever its weights were dequantised to; its weights are
copied into one that was made from the configuration alone.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from everloop.contracts.errors import EverloopError, ShouldFixLoopSpec, ShouldRestoreArtefact
from everloop.contracts.voice_spec import BaseSpec
from everloop.speaking.tokenizers import gguf_tokenizer, set_turn_ends

Progress = Callable[[str, float], None]


def write_from_gguf(path: Path, folder: Path, spec: BaseSpec, progress: Progress) -> None:
    """Dequantise a GGUF file into ``folder``; raises as ``prepare_base`` does."""
    from transformers import AutoModelForCausalLM, GgufConfig  # noqa: PLC0415

    with quiet(), _readable(path):
        progress("reading the tokenizer", 0.05)
        tokenizer = gguf_tokenizer(path)
        set_turn_ends(tokenizer, spec)
        progress("dequantising the weights", 0.2)
        loaded = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
            local_files_only=True,
        )
    _write(loaded, tokenizer, folder, spec, progress)


def write_from_folder(path: Path, folder: Path, spec: BaseSpec, progress: Progress) -> None:
    """Write a folder's model in bfloat16 into ``folder``; raises as ``prepare_base`` does."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    with quiet(), _readable(path):
        progress("reading the tokenizer", 0.05)
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        set_turn_ends(tokenizer, spec)
        progress("reading the weights", 0.2)
        loaded = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=torch.bfloat16,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    _write(loaded, tokenizer, folder, spec, progress)


def _write(loaded: Any, tokenizer: Any, folder: Path, spec: BaseSpec, progress: Progress) -> None:
    longest = getattr(loaded.config, "max_position_embeddings", spec.context_tokens)
    if spec.context_tokens > longest:
        raise ShouldFixLoopSpec(
            f"voice.base.context_tokens={spec.context_tokens} is more than {spec.name} was made for "
            f"({longest}).",
            f"Give at most {longest}.",
        )
    progress("copying the weights", 0.5)
    plain = _copy(loaded, tokenizer)
    progress("writing the weights", 0.7)
    with quiet(), _as_os_errors():
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for name in ("config.json", "generation_config.json"):
        _forget_versions(folder / name)


def _copy(loaded: Any, tokenizer: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig  # noqa: PLC0415

    told = loaded.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "_model_name_or_path", "dtype"):
        told.pop(name, None)
    config = AutoConfig.for_model(told.pop("model_type"), **told)
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    with quiet():
        plain: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    plain.load_state_dict(loaded.state_dict(), strict=True)
    plain.tie_weights()
    plain.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return plain


def _forget_versions(path: Path) -> None:
    """The same weights have the same checksum whatever library wrote them."""
    document = json.loads(path.read_text())
    document.pop("transformers_version", None)
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """safetensors writes from Rust and names what the system said in its text alone."""
    try:
        yield
    except SafetensorError as problem:
        number = re.search(r"os error (\d+)", str(problem))
        if number is None:
            raise
        raise OSError(int(number[1]), str(problem)) from problem


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as problem:
        raise ShouldRestoreArtefact(f"{path}: {problem}.", "Restore the source.") from problem
    except (EverloopError, MemoryError):
        raise
    except Exception as problem:  # a malformed file is met anywhere in the libraries
        first = str(problem).strip().splitlines()[:1]
        raise ShouldFixLoopSpec(
            f"voice.base: {path} cannot be loaded ({'; '.join(first)}).",
            "Name a causal language model whose code transformers has itself.",
        ) from problem


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' own bars and warnings: what goes on is told through a callback."""
    from transformers.utils import logging as told  # noqa: PLC0415

    loggers = logging.getLogger("transformers")
    level, bars = loggers.level, told.is_progress_bar_enabled()
    loggers.setLevel(logging.ERROR)
    told.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with redirect_stderr(io.StringIO()):  # the bar of the dequantisation asks nobody
            yield
    finally:
        loggers.setLevel(level)
        if bars:
            told.enable_progress_bar()  # type: ignore[no-untyped-call]
