"""What a night's training is worth, and what it costs, before its first step."""

from __future__ import annotations

from pathlib import Path

from components._pages import Told
from everloop.adaptation.building import HELD_OUT_FILE, TRAIN_FILE
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.judged import where_judged
from everloop.adaptation.training.expected import expected_steps
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.voices import StrategyChoice
from everloop.loops.sections import voice_of
from everloop.reporting.wording import plural


def worth_training(spec: LoopSpec, choice: StrategyChoice, data: Path) -> StrategyChoice:
    """The choice, without trainings that too few people could judge: an answer that was disliked does not
    say what was wanted, which is what the effect is measured on."""
    people = {
        row.user_id
        for row in read_instances(data / HELD_OUT_FILE)
        if row.user_id is not None and row.liked is not False
    }
    return where_judged(voice_of(spec), choice, len(people))


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
