"""What a night's training is worth, and what it costs, before its first step."""

from __future__ import annotations

from pathlib import Path

from components._pages import Told
from everloop.adaptation.building import FIGURES_FILE, TRAIN_FILE
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.judged import where_judged
from everloop.adaptation.training.expected import expected_steps
from everloop.contracts.documents import read
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.voices import DataFigures, StrategyChoice
from everloop.loops.sections import voice_of
from everloop.reporting.wording import plural


def worth_training(spec: LoopSpec, choice: StrategyChoice, data: Path) -> StrategyChoice:
    """The choice, without trainings that too few people could judge."""
    people = read(DataFigures, data / FIGURES_FILE).held_out_people
    return where_judged(voice_of(spec), choice, people)


def with_steps(told: Told, spec: LoopSpec, choice: StrategyChoice, data: Path) -> Told:
    """A page that says how many optimiser steps are to be expected, where there are any."""
    voice = voice_of(spec)
    steps = expected_steps(voice, choice, read_instances(data / TRAIN_FILE))
    if steps == 0:
        return told
    summary, rows, metrics, plots = told
    batch = voice.phases.batch_size * voice.phases.accumulation
    cost = f"about {plural(steps, 'step')} of {batch} examples, and as many for the placebo"
    return (
        f"{summary}; {cost}",
        [*rows, ("optimiser steps", cost)],
        metrics | {"expected_steps": float(steps)},
        plots,
    )
