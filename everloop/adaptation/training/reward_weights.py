"""A reward model's weights on a base, its folder, and the scores that it gives.

The folder holds ``reward_model.safetensors`` (an adapter and the head, float32) and ``reward_model.json``,
which says what base and shape they are of. Only differences between answers to one prompt mean anything.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from everloop.adaptation.training.log_probabilities import (
    TokenSequence,
    bfloat16,
    padded,
    slice_budget,
    slices,
)
from everloop.adaptation.training.models import load_base, load_tokenizer
from everloop.adaptation.training.publish import TRAINED
from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.model_folders import folder_sha256
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import LoraSpec, VoiceSpec
from everloop.contracts.voices import LearningTask, Message, SourceType, TrainingDataInstance

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS, CONFIG = "reward_model.safetensors", "reward_model.json"
SCORER_FILES = (CONFIG, WEIGHTS)
"""All that a reward model's folder holds."""
SCORER_LINEAGE = "reward_model"
"""Entry of an adapter's lineage that names the folder's checksum, where a reward model is kept with it."""
UNSCORABLE = -math.inf
"""Of an answer that is empty, too long, or holds a token that ends turns: it never wins."""


class RewardHead(nn.Linear):
    """One number from a hidden state, in float32: rewards in bfloat16 would tie."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., 1)."""
        with torch.autocast(hidden.device.type, enabled=False):
            return nn.functional.linear(hidden.float(), self.weight.float())


def with_reward_head(base: BaseFolder, lora: LoraSpec, seed: int) -> PeftModel:
    """The verified base with a new adapter and a new head, ready to be trained."""
    from peft import LoraConfig, PeftModel, get_peft_model  # noqa: PLC0415
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

    speaker, tokenizer = load_base(base), load_tokenizer(base)
    config = speaker.config
    config.num_labels, config.pad_token_id = 1, tokenizer.pad_token_id
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    setattr(model, model.base_model_prefix, speaker.base_model)
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks transformers by a name that warns of its end.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        torch.manual_seed(seed)
        model.score = RewardHead(config.hidden_size, 1, bias=False)
        found = get_peft_model(
            model,
            LoraConfig(
                r=lora.r,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=list(lora.target_modules),
                modules_to_save=["score"],
                bias="none",
                task_type="SEQ_CLS",
            ),
            adapter_name=TRAINED,
        )
    if not isinstance(found, PeftModel):
        raise ShouldFixArgument(f"No module of {base.name} is one of {lora.target_modules}.")
    return found


def reward_tensors(model: PeftModel) -> dict[str, torch.Tensor]:
    """Name -> float32 tensor of the adapter and the head, on the CPU."""
    from peft import get_peft_model_state_dict  # noqa: PLC0415

    state = get_peft_model_state_dict(model, adapter_name=TRAINED)
    return {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in sorted(state.items())
    }


def save_reward_model(model: PeftModel, base: BaseFolder, spec: VoiceSpec, out: Path) -> str:
    """Write the folder, which is replaced; its checksum. Equal weights, equal bytes."""
    tensors = reward_tensors(model)
    unsound = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if unsound:
        raise ShouldRestoreArtefact(
            f"The reward model's {unsound[0]} is not finite.", "Lower its learning rate."
        )
    document = {
        "base": base.name,
        "base_sha256": base.sha256,
        "lora": spec.lora.model_dump(mode="json"),
        "max_length": spec.phases.max_length,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        write_atomically(save(tensors, metadata={"format": "pt"}), made / WEIGHTS)
        write_atomically(json.dumps(document, indent=2, sort_keys=True).encode(), made / CONFIG)
        shutil.rmtree(out, ignore_errors=True)
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder_sha256(out)


def unpack_scorer(
    files: Mapping[str, Path], base: BaseFolder, sha256: str, cache: Path
) -> RewardScorer:
    """The reward model that is registered with an adapter.

    Args:
        files: file name -> path as the registry keeps them; others than a reward model's stay out.
        sha256: of the folder, from the adapter's lineage.
        cache: the folder is made below, once.

    Raises:
        ShouldRestoreArtefact: a file is missing, or together they are not what ``sha256`` was taken of.
    """
    missing = [name for name in SCORER_FILES if name not in files]
    if missing:
        raise ShouldRestoreArtefact(
            f"The reward model has no file {', '.join(missing)}.", "Restore it from a backup."
        )
    target = cache / sha256
    if not target.is_dir() or folder_sha256(target) != sha256:
        cache.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=cache, prefix=f".{sha256[:16]}."))
        try:
            for name in SCORER_FILES:
                shutil.copyfile(files[name], made / name)
            shutil.rmtree(target, ignore_errors=True)
            made.rename(target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return RewardScorer(base, target, sha256)


class RewardScorer:
    """Scores answers by a reward model's folder on the base that it was trained on.

    Raises:
        ShouldRestoreArtefact: the folder is not the one that ``sha256`` was taken of.
        ShouldFixArgument: it was trained on another base.
    """

    def __init__(self, base: BaseFolder, folder: Path, sha256: str) -> None:
        found = folder_sha256(folder)
        if found != sha256:
            raise ShouldRestoreArtefact(
                f"{folder} has the checksum {found}, and {sha256} was expected.",
                "Rerun the stage that trained the reward model.",
            )
        told = json.loads((folder / CONFIG).read_bytes())
        if told["base_sha256"] != base.sha256:
            raise ShouldFixArgument(
                f"The reward model was trained on base {told['base_sha256']}, not {base.sha256}.",
                "Train it anew.",
            )
        length = min(int(told["max_length"]), base.context_tokens)
        self._renderer = Renderer(load_tokenizer(base), length)
        self._pad = int(load_tokenizer(base).pad_token_id or 0)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = _loaded(base, LoraSpec(**told["lora"]), folder / WEIGHTS).to(self._device)

    def score(
        self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str]
    ) -> tuple[float, ...]:
        """One number for each answer, in their order; ``UNSCORABLE`` for one that cannot be read.

        Raises:
            ShouldFixArgument: there are not as many prompts as completions.
        """
        if len(prompts) != len(completions):
            raise ShouldFixArgument(
                f"{len(prompts)} prompts and {len(completions)} completions do not fit together."
            )
        found = [UNSCORABLE] * len(prompts)
        read = [
            (index, sequence)
            for index, pair in enumerate(zip(prompts, completions, strict=True))
            if (sequence := self._sequence(*pair)) is not None
        ]
        with torch.no_grad(), bfloat16(self._device):
            for group in slices([len(each) for _, each in read], slice_budget(self._device)):
                part = padded([read[at][1] for at in group], self._pad).to(self._device)
                scores = self._model(
                    input_ids=part.input_ids, attention_mask=part.attention_mask, use_cache=False
                ).logits[:, 0]
                for at, value in zip(group, scores.float().tolist(), strict=True):
                    found[read[at][0]] = value
        return tuple(found)

    def _sequence(self, prompt: tuple[Message, ...], completion: str) -> TokenSequence | None:
        if not completion.strip():
            return None
        row = self._renderer.row(
            TrainingDataInstance(
                "scored", SourceType.CORPUS, ("scored",), LearningTask.SFT, prompt, completion
            )
        )
        return (
            None
            if row is None
            else TokenSequence(tuple(row.input_ids[:1]), tuple(row.input_ids[1:]))
        )


def _loaded(base: BaseFolder, lora: LoraSpec, weights: Path) -> Any:
    from peft import set_peft_model_state_dict  # noqa: PLC0415

    model = with_reward_head(base, lora, seed=0)
    tensors = load_file(weights)
    expected = {name: tuple(tensor.shape) for name, tensor in reward_tensors(model).items()}
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != expected:
        raise ShouldRestoreArtefact(
            f"{weights} does not hold the adapter and head that its description says.",
            "Rerun the stage that trained the reward model.",
        )
    set_peft_model_state_dict(model, tensors, adapter_name=TRAINED)
    return model.eval()
