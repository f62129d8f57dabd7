"""A base with the adapter that learns on it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from everloop.adaptation.training.publish import TRAINED
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.model_folders import require_unchanged
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import LoraSpec

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_tokenizer(base: BaseFolder) -> PreTrainedTokenizerBase:
    """The base's tokenizer, with a token to pad with."""
    from transformers import AutoTokenizer  # noqa: PLC0415

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        base.path, local_files_only=True
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(base: BaseFolder) -> PreTrainedModel:
    """The verified base in bfloat16, which nothing trains.

    Raises:
        ShouldRestoreArtefact: its files are not those that its checksum was taken of.
    """
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    require_unchanged(base)
    with _quietly():
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base.path, dtype=torch.bfloat16, local_files_only=True, use_safetensors=True
        )
    model.requires_grad_(False)
    model.config.use_cache = False
    return model


def with_adapter(
    base: BaseFolder, lora: LoraSpec, seed: int, start_from: AdapterFolder | None = None
) -> PeftModel:
    """The base with a new adapter in float32, or the one that goes on, ready to be trained.

    Raises:
        ShouldFixArgument: the adapter that goes on has another shape than ``lora``.
        ShouldRestoreArtefact: a folder's files are not those that its checksum was taken of.
    """
    from peft import LoraConfig, PeftModel, get_peft_model  # noqa: PLC0415

    if start_from is not None:
        require_unchanged(start_from)
        found = LoraConfig.from_pretrained(str(start_from.path))
        shape = (found.r, found.lora_alpha, set(found.target_modules))
        if shape != (lora.r, lora.alpha, set(lora.target_modules)):
            raise ShouldFixArgument(
                f"The adapter {start_from.version} has the shape {shape}, and {lora} is asked for.",
                "Begin a new adapter, or keep its shape.",
            )
        found.lora_dropout = lora.dropout
        # Where PEFT looks for the base's vocabulary when it saves a checkpoint.
        found.base_model_name_or_path = str(base.path)
        model = load_base(base)
        with _without_alias():
            return PeftModel.from_pretrained(
                model, start_from.path, adapter_name=TRAINED, is_trainable=True, config=found
            )
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        bias="none",
        task_type="CAUSAL_LM",
    )
    model = load_base(base)
    with torch.random.fork_rng(), _without_alias():
        torch.manual_seed(seed)
        new = get_peft_model(model, config, adapter_name=TRAINED)
    if not isinstance(new, PeftModel):
        raise ShouldFixArgument(f"No module of {base.name} is one of {lora.target_modules}.")
    return new


@contextmanager
def _quietly() -> Iterator[None]:
    """Without a bar for each file that is read."""
    from transformers.utils import logging  # noqa: PLC0415

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def _without_alias() -> Iterator[None]:
    """PEFT asks transformers by a name that warns of its end."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield
