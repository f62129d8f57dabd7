"""A voice's trainings, each with a place for its own checkpoints, so that a killed run continues."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from components._private import REFUSAL, Refusal
from components._stage import Stage
from components._voice_models import (
    ADAPTER,
    FIGURES,
    ActiveVoice,
    active_voice,
    base_of,
    speaker_with,
)
from components._voice_pages import adapter_rows
from components._voice_placing import train_where_asked
from components._voice_private import may_go_on, private_training
from components._voice_rows import NightRows, rows_of
from everloop.adaptation.building import HELD_OUT_FILE, TRAIN_FILE
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.placebo import placebo_of
from everloop.adaptation.training.job import TrainingJob
from everloop.adaptation.training.models import load_tokenizer
from everloop.adaptation.training.reward_model import train_reward_model
from everloop.adaptation.training.train import tasks_of
from everloop.contracts.documents import read, sha256_of, write
from everloop.contracts.errors import ShouldCollectMoreData, ShouldWaitForBudget
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import PreferenceMethod, VoiceSpec
from everloop.contracts.voices import (
    AdapterFigures,
    LearningTask,
    RewardModelFigures,
    StepLog,
    Strategy,
    StrategyChoice,
    TrainingDataInstance,
)
from everloop.loops.sections import voice_of, voice_text
from everloop.wiring import Workspace

EARLIER = "earlier.jsonl.zst"
SCORER = "scorer"
_SEED = 17


def train_scorer(spec: LoopSpec, workspace: Workspace, data: Path, out: Path) -> RewardModelFigures:
    """A reward model from the training people's pairs, judged by those who judge the voice."""
    voice, base = voice_of(spec), base_of(spec, workspace)
    pairs, judged = (_pairs(data / name) for name in (TRAIN_FILE, HELD_OUT_FILE))
    place = _place(workspace, "scorer", voice_text(spec), base.sha256, sha256_of(data / TRAIN_FILE))
    out.mkdir(parents=True, exist_ok=True)
    figures = train_reward_model(base, voice, pairs, judged, out / SCORER, place, _SEED, _tell)
    write(figures, out / FIGURES)
    shutil.rmtree(place, ignore_errors=True)
    return figures


def candidate_or_refusal(
    told: Stage,
    spec: LoopSpec,
    workspace: Workspace,
    run: tuple[str, str, str],
    inputs: tuple[Path, Path, Path],
    out: Path,
) -> bool:
    """The candidate and its page; False, and the refusal in its place, where budget or data allow none.

    Args:
        told: the step's page and summary.
        run, inputs: as ``train_candidate``'s.
    """
    try:
        figures = train_candidate(spec, workspace, run, inputs, out)
    except (ShouldWaitForBudget, ShouldCollectMoreData) as problem:
        reason = str(problem)
        write(Refusal(told.title, reason), out / REFUSAL)
        told.says(f"refused: {reason}", metrics={"steps": 0.0})
        return False
    told.says(*adapter_rows(figures))
    return True


def train_candidate(
    spec: LoopSpec,
    workspace: Workspace,
    run: tuple[str, str, str],
    inputs: tuple[Path, Path, Path],
    out: Path,
) -> AdapterFigures:
    """The candidate: from where the serving adapter is, as the strategy says.

    Args:
        run: logical date, tenant, code.
        inputs: data, strategy, scorer.
    """
    return _train(spec, workspace, run, inputs, out, placebo=False)


def train_placebo_for(
    spec: LoopSpec,
    workspace: Workspace,
    run: tuple[str, str, str],
    inputs: tuple[Path, Path, Path],
    out: Path,
) -> AdapterFigures:
    """The placebo: the same training on the active voice's own words. Never served, never charged."""
    return _train(spec, workspace, run, inputs, out, placebo=True)


def _train(
    spec: LoopSpec,
    workspace: Workspace,
    run: tuple[str, str, str],
    inputs: tuple[Path, Path, Path],
    out: Path,
    placebo: bool,
) -> AdapterFigures:
    logical_date, tenant, code = run
    data, strategy, scorer = inputs
    voice, base = voice_of(spec), base_of(spec, workspace)
    choice = read(StrategyChoice, strategy)
    active = active_voice(spec, workspace, tenant, base)
    named = (
        *(voice_text(spec), base.sha256, sha256_of(data / TRAIN_FILE), sha256_of(strategy)),
        *(active.version, logical_date, code, "placebo" if placebo else "candidate"),
    )
    place = _place(workspace, "adapter", *named)
    out.mkdir(parents=True, exist_ok=True)
    private = private_training(spec, workspace, run, data, placebo)
    anew = Strategy.FULL_RETRAINING in choice.chosen
    start = ActiveVoice() if anew or not may_go_on(spec, workspace, tenant) else active
    rows = rows_of(spec, workspace, run, base, start, data / TRAIN_FILE)
    tasks = tasks_of(choice, private is not None)
    learned = rows.new
    if placebo:
        rows = _own_words(voice, base, active, rows, tasks)
    job = TrainingJob(
        base=base,
        spec=voice,
        choice=choice,
        instances=place / TRAIN_FILE,
        out=(out / ADAPTER).absolute(),
        work=place,
        figures=place / FIGURES,
        seed=_SEED,
        start_from=start.adapter,
        scorer=_scorer(voice, scorer),
        earlier=place / EARLIER,
    )
    try:
        found = train_where_asked(job, rows.new, private, _tell, rows.earlier)
    except (ShouldWaitForBudget, ShouldCollectMoreData):
        shutil.rmtree(place, ignore_errors=True)
        raise
    figures = replace(found, placebo=placebo, continued_from=start.checkpoint_id)
    if private is None:
        figures = with_rows(figures, [row for row in learned if row.task in tasks])
    write(figures, out / FIGURES)
    shutil.rmtree(place, ignore_errors=True)
    return figures


def with_rows(figures: AdapterFigures, learned: Iterable[TrainingDataInstance]) -> AdapterFigures:
    """The figures with the rows that were learned from, and whose they are.

    Where ``max_steps`` ends a phase before it came to every row, the others are counted as well.
    """
    rows, people = Counter[str](), set[str]()
    for row in learned:
        rows[row.task.value] += 1
        people |= {row.user_id} if row.user_id is not None else set()
    return replace(figures, rows_by_task=dict(sorted(rows.items())), people=len(people))


def _own_words(
    voice: VoiceSpec,
    base: BaseFolder,
    active: ActiveVoice,
    rows: NightRows,
    tasks: frozenset[LearningTask],
) -> NightRows:
    """The rows as the voice that serves would have said them, each as many tokens as what people said."""
    tokenizer, speaker = load_tokenizer(base), speaker_with(base, active.adapter)
    made = 0

    def tokens(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    def tell(answers: int) -> None:
        nonlocal made
        made += answers
        print(f"@progress {made} answers in its own words", flush=True)

    new, earlier = (
        tuple(
            placebo_of(each, speaker, active.version, voice.generation, _SEED, tokens, tasks, tell)
        )
        for each in (rows.new, rows.earlier)
    )
    return NightRows(new, earlier)


def _scorer(voice: VoiceSpec, folder: Path) -> tuple[Path, str] | None:
    """Folder and checksum of the reward model, where on-policy learning asks for one."""
    figures = read(RewardModelFigures, folder / FIGURES)
    if figures.refused or voice.preference.method not in (
        PreferenceMethod.RLOO,
        PreferenceMethod.GRPO,
    ):
        return None
    return (folder / SCORER).absolute(), figures.sha256


def _pairs(path: Path) -> tuple[TrainingDataInstance, ...]:
    return tuple(row for row in read_instances(path) if row.task is LearningTask.PREFERENCE)


def _place(workspace: Workspace, kind: str, *named: str) -> Path:
    digest = hashlib.sha256("\0".join(named).encode()).hexdigest()[:16]
    place = (workspace.home / "training" / f"voice-{kind}-{digest}").absolute()
    place.mkdir(parents=True, exist_ok=True)
    return place


def _tell(step: StepLog, steps: int) -> None:
    print(f"@progress {step.phase} {step.step}/{steps}, loss {step.loss:.3f}", flush=True)
