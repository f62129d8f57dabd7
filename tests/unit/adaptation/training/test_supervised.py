"""The loss of one part of a batch, beside Hugging Face's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from datasets import Dataset

from everloop.adaptation.training.models import load_tokenizer, with_adapter
from everloop.adaptation.training.rendering import IGNORED, Renderer, decoded_labels
from everloop.adaptation.training.supervised import Collator, Report, settings, trainer_of
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import PhaseSpec
from tests.voice_examples import correction, corrections, voice

PHASE = PhaseSpec(name="only", learning_rate=1e-3)


@pytest.fixture
def trainer(tiny_voice: BaseFolder, tmp_path: Path):
    tokenizer = load_tokenizer(tiny_voice)
    spec = voice([PHASE])
    model = with_adapter(tiny_voice, spec.lora, 1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # it begins at 0, where A has no gradient
            torch.nn.init.normal_(parameter, std=0.1)
    model = model.float()
    examples = [correction("And?", "So it is, I think.", weight=0.5), *corrections(5)]
    rows = [
        {"input_ids": row.input_ids, "labels": row.labels, "weight": row.weight}
        for row in Renderer(tokenizer, 128).rows(examples)
    ]
    made = settings(spec.phases, PHASE, 1, tmp_path, 1, 10)
    return trainer_of(model, tokenizer, Dataset.from_list(rows), made, Report("only", print))


def _gradients(model: torch.nn.Module) -> torch.Tensor:
    found = torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    return found


def _batch(trainer, rows):
    return Collator(0)([trainer.train_dataset[row] for row in rows])


def test_loss_and_gradients_are_hugging_faces(trainer):
    model, batch = trainer.model.eval(), _batch(trainer, range(1, 6))
    tokens = int((batch["labels"] != IGNORED).sum())

    ours = trainer.compute_loss(model, batch, num_items_in_batch=tokens)
    ours.backward()
    gradients = _gradients(model)
    theirs = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        labels=batch["labels"],
    ).loss
    theirs.backward()

    assert ours.item() == pytest.approx(theirs.item(), abs=1e-4)
    expected = _gradients(model)
    assert float(expected.abs().max()) > 1e-3
    assert torch.allclose(gradients, expected, atol=1e-4)


def test_half_the_weight_gives_half_the_gradient(trainer):
    model, half = trainer.model.eval(), _batch(trainer, [0])
    whole = half | {"weight": torch.ones(1)}

    trainer.compute_loss(model, half, num_items_in_batch=8).backward()
    of_half = _gradients(model)
    trainer.compute_loss(model, whole, num_items_in_batch=8).backward()

    assert torch.allclose(of_half, 0.5 * _gradients(model), atol=1e-7)
    assert float(of_half.abs().max()) > 0


def test_parts_of_a_batch_add_up_to_it(trainer):
    model = trainer.model.eval()
    batches = [_batch(trainer, rows) for rows in (range(6), range(3), range(3, 6))]

    losses = [
        trainer.compute_loss(model, batch, num_items_in_batch=100).item() for batch in batches
    ]

    assert losses[0] == pytest.approx(losses[1] + losses[2], rel=1e-5)


def test_every_batch_of_the_loader_ends_its_labels_with_the_turn(trainer):
    tokenizer = trainer.processing_class
    seen = 0
    for batch in trainer.get_train_dataloader():
        for labels, mask in zip(batch["labels"], batch["completion_mask"], strict=True):
            text = decoded_labels(tokenizer, labels.tolist())
            assert text.endswith("<|im_end|>")
            assert text.count("<|im_end|>") == 1
            assert torch.equal(mask.bool(), labels != IGNORED)
            seen += 1
    assert seen == 6


def test_the_loader_keeps_the_order(trainer):
    widths = [int(batch["attention_mask"][0].sum()) for batch in trainer.get_train_dataloader()]
    rows = [len(row["input_ids"]) for row in trainer.train_dataset]

    assert widths == rows[::4]


def test_adamw_cosine_and_the_batch_are_set(trainer):
    arguments = trainer.args

    assert arguments.optim == "adamw_torch_fused"
    assert arguments.lr_scheduler_type == "cosine"
    assert arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps == 32
    assert not arguments.gradient_checkpointing
    assert arguments.bf16
    assert arguments.report_to == []


def test_figures_that_are_no_numbers_end_the_training(trainer):
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(float("nan"))

    with pytest.raises(ShouldFixArgument, match="Step 1 of phase only has loss nan"):
        trainer.train()
