"""On-policy learning: what it needs, and that it learns what its scorer likes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from everloop.adaptation.training.on_policy import Rewards, tune_on_policy
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldProvideEngine,
)
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import (
    GenerationSpec,
    PlacementSpec,
    PreferenceMethod,
    PreferenceSpec,
    VoiceSpec,
)
from everloop.contracts.voices import Message
from tests.voice_instances import pair, voice


class _Short:
    """Likes short answers; cannot read empty ones."""

    def score(
        self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str]
    ) -> tuple[float, ...]:
        return tuple(-float(len(text)) if text else -math.inf for text in completions)


def _spec(method: str, allow_cpu: bool = True, temperature: float = 1.0) -> VoiceSpec:
    asked = PreferenceSpec(method=PreferenceMethod(method), learning_rate=1e-3, max_steps=2)
    return voice(asked).model_copy(
        update={
            "placement": PlacementSpec(allow_cpu=allow_cpu),
            "generation": GenerationSpec(max_new_tokens=8, temperature=temperature),
        }
    )


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_two_steps_move_the_adapter_and_leave_no_reference(
    tiny_voice: BaseFolder, tmp_path: Path, method: str
) -> None:
    adapter, (phase,), steps = tune_on_policy(
        tiny_voice,
        None,
        _spec(method),
        [pair(number) for number in range(4)],
        _Short(),
        tmp_path / "out",
        tmp_path / "work",
        3,
    )
    assert (phase.method, phase.steps, phase.effective_batch) == (method, 2, 8)
    assert [step.learning_rate for step in steps] == [0.0, 1e-3]
    assert phase.adapter_out == adapter.sha256
    assert 0 < phase.tokens <= 2 * 8 * 8
    names = load_file(adapter.path / "adapter_model.safetensors").keys()
    assert not [name for name in names if "ref" in name]


def _tune(base: BaseFolder, place: Path, spec: VoiceSpec, scorer: _Short | None, rows: int) -> None:
    tune_on_policy(
        base, None, spec, [pair(n) for n in range(rows)], scorer, place / "out", place / "work", 3
    )


def test_without_a_gpu_it_is_refused(
    tiny_voice: BaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ShouldProvideEngine, match="there is no GPU"):
        _tune(tiny_voice, tmp_path, _spec("rloo", allow_cpu=False), _Short(), 2)


@pytest.mark.parametrize(
    ("spec", "scorer", "reason"),
    [
        (_spec("grpo"), None, "needs a reward model"),
        (_spec("dpo"), _Short(), "does not draw answers"),
        (_spec("rloo", temperature=0.0), _Short(), "temperature=0 draws one"),
    ],
)
def test_what_it_needs_is_named(
    tiny_voice: BaseFolder, tmp_path: Path, spec: VoiceSpec, scorer: _Short | None, reason: str
) -> None:
    problem = ShouldFixArgument if scorer is not None else ShouldCollectMoreData
    with pytest.raises(problem, match=reason):
        _tune(tiny_voice, tmp_path, spec, scorer, 2)


def test_without_prompts_there_is_nothing_to_answer(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    with pytest.raises(ShouldCollectMoreData, match="no prompt"):
        _tune(tiny_voice, tmp_path, _spec("rloo"), _Short(), 0)


def test_an_answer_that_cannot_be_read_loses_to_every_other() -> None:
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    said = [[{"role": "assistant", "content": text}] for text in ("four", "", "fourteen")]
    assert Rewards(_Short())([prompt] * 3, said) == [-4.0, -9.0, -8.0]  # type: ignore[list-item, arg-type]
