"""``everloop voice prepare``, ``speak`` and ``export`` on the tiny base."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from everloop.adaptation.training import best_of
from everloop.adaptation.training.reward_weights import (
    SCORER_LINEAGE,
    RewardScorer,
    save_reward_model,
    with_reward_head,
)
from everloop.cli import voice_speaking
from everloop.cli.app import app
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixLoopSpec,
    ShouldNameKnownId,
    ShouldRetryLater,
)
from everloop.contracts.model_folders import folder_sha256
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.speaking import Answer, BaseFolder
from everloop.contracts.voice_spec import LoraSpec
from everloop.contracts.voices import Message
from everloop.loops import load
from everloop.loops.sections import voice_of
from everloop.persona.graph import first_graph
from everloop.persona.prompt import prompt_of
from everloop.registry.promotion import promote
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.settings import initialise, voice_cache
from everloop.speaking.adapters import WEIGHTS, adapter_files
from everloop.speaking.base import prepared_base
from everloop.speaking.engine import Engine
from everloop.wiring import open_workspace
from tests.made_adapters import drawn_adapter
from tests.two_tenants import LOOP

HELLO = (Message("user", "Hello."),)
VOICE = voice_of(load("companion"))


@pytest.fixture
def loop(tiny_voice: BaseFolder, tmp_path: Path) -> Path:
    """A loop that speaks with the tiny base, and its workspace beside it."""
    initialise(tmp_path / "home")
    path = tmp_path / "coach.yaml"
    named = f"{{name: tiny, source: {tiny_voice.path}, license: none, context_tokens: 256}}"
    path.write_text(
        LOOP.replace("{name: tiny, source: nowhere, license: none}", named)
        + "  generation: {max_new_tokens: 8}\n"
    )
    return path


def run(loop: Path, *words: str) -> Result:
    home = loop.parent / "home"
    return CliRunner().invoke(
        app, ["voice", *words, "--loop", str(loop), "--home", str(home)], catch_exceptions=True
    )


def adapter_of(
    loop: Path,
    base: BaseFolder,
    seed: int,
    version: str,
    scorer: Path | None = None,
    trained_on: str = "",
) -> str:
    workspace = open_workspace(loop.parent / "home")
    made = drawn_adapter(loop.parent / version, base, seed)
    spoken = prepared_base(voice_of(load(str(loop))).base, voice_cache(workspace.home) / "bases")
    assert spoken is not None
    kept = {} if scorer is None else {path.name: path for path in scorer.iterdir()}
    judged = {} if scorer is None else {SCORER_LINEAGE: folder_sha256(scorer)}
    candidate = Candidate(
        loop="coach",
        model_type=ModelType.ADAPTER,
        files=dict(adapter_files(made)) | kept,
        served=WEIGHTS,
        performance_metrics={},
        lineage=dict.fromkeys(REQUIRED_LINEAGE, "made")
        | {"version": version, "base": trained_on or spoken.sha256}
        | judged,
        provenance=Provenance.CONSENTED_TEXT,
        verdict="continue",
        training_date=datetime.now(UTC),
    )
    return register(candidate, workspace.registry, workspace.blobs).checkpoint_id


def test_a_base_is_prepared_and_speaks(loop: Path, tiny_voice: BaseFolder) -> None:
    early = run(loop, "speak", "Hello.")
    assert isinstance(early.exception, ShouldRetryLater)
    assert "everloop voice prepare" in early.exception.remedy
    prepared = run(loop, "prepare", "--json")
    assert prepared.exit_code == 0, prepared.exception
    assert json.loads(prepared.stdout)["name"] == "tiny"

    base = run(loop, "speak", "Hello.", "--seed", "3")
    assert base.exit_code == 0, base.exception
    assert run(loop, "speak", "Hello.", "--seed", "3").stdout == base.stdout
    checkpoint = adapter_of(loop, tiny_voice, 1, "v1")
    named = run(loop, "speak", "Hello.", "--seed", "3", "--adapter", "v1")
    assert named.exit_code == 0, named.exception
    assert named.stdout != base.stdout
    by_id = run(loop, "speak", "Hello.", "--seed", "3", "--adapter", checkpoint)
    assert by_id.stdout == named.stdout
    workspace = open_workspace(loop.parent / "home")
    promote(checkpoint, workspace.registry, workspace.blobs, workspace.deployments, "a test")
    assert run(loop, "speak", "Hello.", "--seed", "3").stdout == named.stdout
    assert run(loop, "speak", "Hello.", "--seed", "3", "--adapter", "base").stdout == base.stdout
    unknown = run(loop, "speak", "Hello.", "--adapter", "v9")
    assert isinstance(unknown.exception, ShouldNameKnownId)
    assert "v1" in unknown.exception.remedy

    out = loop.parent / "voice.gguf"
    exported = run(loop, "export", "--gguf", str(out), "--json")
    assert exported.exit_code == 0, exported.exception
    assert json.loads(exported.stdout)["adapter"] == "v1"
    assert out.read_bytes()[:4] == b"GGUF"


def test_an_adapter_of_another_base_neither_speaks_nor_is_exported(
    loop: Path, tiny_voice: BaseFolder
) -> None:
    assert run(loop, "prepare").exit_code == 0
    adapter_of(loop, tiny_voice, 1, "v1", trained_on="0" * 64)
    spoken = run(loop, "speak", "Hello.", "--adapter", "v1")
    assert isinstance(spoken.exception, ShouldFixArgument)
    assert "v1 was trained on base 000" in spoken.exception.message
    out = loop.parent / "voice.gguf"
    exported = run(loop, "export", "--gguf", str(out), "--adapter", "v1")
    assert isinstance(exported.exception, ShouldFixArgument)
    assert not out.exists()


def test_what_a_voice_says_acts_on_no_terminal(loop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(loop, "prepare").exit_code == 0
    said = "Copied.\x1b]52;c;cm0gLXJm\x07\u202e\nDone."
    monkeypatch.setattr(Engine, "stream", lambda *_: iter(said))
    told = run(loop, "speak", "Hello.").stdout
    assert told == "Copied.\ufffd]52;c;cm0gLXJm\ufffd\ufffd\nDone.\n"
    best = Answer(said, "", 4, 4, True, 0.1)
    monkeypatch.setattr(best_of, "best_of_n", lambda *_: best)
    monkeypatch.setattr(voice_speaking, "_scorer", lambda *_: best)
    assert run(loop, "speak", "Hello.", "--best-of", "2").stdout == told


def test_the_best_of_several_answers_is_the_reward_models(
    loop: Path, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    assert run(loop, "prepare").exit_code == 0
    home, spoken = loop.parent / "home", voice_of(load(str(loop)))
    base = prepared_base(spoken.base, voice_cache(home) / "bases")
    assert base is not None
    model = with_reward_head(base, LoraSpec(r=4, alpha=8), seed=1)
    spec = VOICE.model_copy(update={"lora": LoraSpec(r=4, alpha=8)})
    save_reward_model(model, base, spec, tmp_path / "scorer")
    adapter_of(loop, tiny_voice, 1, "v1", tmp_path / "scorer")
    adapter_of(loop, tiny_voice, 2, "v2")
    drawn = {
        run(loop, "speak", "Hello.", "--seed", str(seed), "--adapter", "v1").stdout
        for seed in range(3, 7)
    }
    best = run(loop, "speak", "Hello.", "--seed", "3", "--adapter", "v1", "--best-of", "4")
    assert best.exit_code == 0, best.exception
    scorer = RewardScorer(base, tmp_path / "scorer", folder_sha256(tmp_path / "scorer"))
    prompt = prompt_of(spoken, first_graph(spoken), HELLO, None)
    answers = sorted(drawn)
    scores = scorer.score([prompt] * len(answers), [each.strip() for each in answers])
    assert len(set(scores)) > 1
    assert best.stdout.strip() == answers[scores.index(max(scores))].strip()
    without = run(loop, "speak", "Hello.", "--adapter", "v2", "--best-of", "2")
    assert isinstance(without.exception, ShouldFixArgument)
    assert "has no reward model" in without.exception.message


def test_a_loop_without_a_voice_is_named() -> None:
    result = CliRunner().invoke(app, ["voice", "prepare", "--loop", "open_bandit"])
    assert isinstance(result.exception, ShouldFixLoopSpec)
