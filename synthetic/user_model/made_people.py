"""People made up from public bounds and a released user model, for figures that may read no log.

Contexts are drawn within the public bounds of their kind, actions uniformly, partners around the
average, and responses from the model itself.
"""

from __future__ import annotations

import math

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, EncodingLayout, Float, Float32
from everloop.contracts.loop_spec import LoopSpec
from synthetic.people import PeopleEpisodes, following, gather, people_of
from synthetic.user_model.features import KINDS
from synthetic.user_model.responses import ResponseModel

SPREAD = 0.3
"""Standard deviation of a made-up number within [-1, 1]."""
_DAY = 86_400.0


def made_people(
    spec: LoopSpec,
    model: ResponseModel,
    people: int,
    rng: np.random.Generator,
    layout: EncodingLayout | None = None,
) -> PeopleEpisodes:
    """``people`` made-up people and as many decisions each as a window holds by public guess.

    Args:
        spec: the loop; ``journeys.decisions_per_day`` over ``thresholds.window_days``, at most
            ``privacy.episodes_per_person``.
        model: how they respond.
        people: how many.
        rng: draws everything.
        layout: what the dimensions mean; ``None``: all are numbers.
    """
    each = decisions_each(spec)
    width, actions = model.features.context.shape[1], len(spec.actions)
    resting = made_contexts(width, people, rng, layout)
    context, late = resting, spec.journeys.ends_after_hours / 24.0 + 1.0
    day = np.zeros(people)
    kept: list[tuple[Float32, Float, Float, Float, Float, Float32]] = []
    for _ in range(each):
        action = rng.integers(0, actions, people)
        slate = made_slates(model.features.descriptors, people, rng)
        answers = model.respond(resting, context, action, rng, slate)
        heard = (
            answers.signals
            if answers.present is None
            else np.where(answers.present, answers.signals, np.nan)
        )
        kept.append((context, action.astype(np.float64), answers.reward, heard, day, slate))
        day = day + np.where(answers.ended, late, 1.0 / 24.0)
        context = answers.context
    columns = [np.concatenate(list(column)) for column in zip(*kept, strict=True)]
    return _gathered(spec, model, people, each, columns)


def decisions_each(spec: LoopSpec) -> int:
    """Public guess of the decisions of a person that count."""
    expected = math.ceil(spec.journeys.decisions_per_day * spec.thresholds.window_days)
    return max(2, min(spec.privacy.episodes_per_person, expected))


def made_contexts(
    width: int, count: int, rng: np.random.Generator, layout: EncodingLayout | None
) -> Float32:
    """(count, width) contexts within the public bounds of their kinds."""
    made = np.clip(SPREAD * rng.standard_normal((count, width)), -0.99, 0.99)
    for block in () if layout is None else layout.blocks:
        if block.kind == "missing":
            made[:, block.dimensions] = 0.0
        elif block.kind == "category":
            made[:, block.dimensions] = np.eye(block.width)[rng.integers(0, block.width, count)]
        elif block.kind == "cycle":
            angle = 2.0 * np.pi * rng.random(count)
            made[:, block.dimensions] = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        elif block.kind == "history":
            shares = rng.dirichlet(np.ones(len(KINDS)), count)
            rest = np.stack([made[:, block.start], rng.random(count), np.ones(count)], axis=1)
            made[:, block.dimensions] = np.concatenate([shares, rest], axis=1)
    return made.astype(np.float32)


def made_slates(descriptors: int, count: int, rng: np.random.Generator) -> Float32:
    """(count, Z) mean descriptors of made-up partners."""
    made = np.clip(SPREAD * rng.standard_normal((count, descriptors)), -1.0, 1.0)
    return made.astype(np.float32)


def _gathered(
    spec: LoopSpec, model: ResponseModel, people: int, each: int, columns: list[Float]
) -> PeopleEpisodes:
    context, action, reward, signals, day, slate = columns
    rows = people * each
    episodes = EncodedEpisodes(
        episode_id=np.array([str(row) for row in range(rows)], dtype=np.str_),
        person=np.tile(np.arange(people), each),
        people=np.array([f"{index:08d}" for index in range(people)], dtype=np.str_),
        context=context.astype(np.float32),
        interacting=np.isin(np.arange(context.shape[1]), model.features.moving),
        action=action.astype(np.int64),
        mask=np.ones((rows, len(spec.actions)), dtype=np.bool_),
        propensity=np.full(rows, 1.0 / len(spec.actions)),
        reward=reward,
        signals=signals,
        holdout=np.zeros(rows, dtype=np.bool_),
        comparison=np.zeros(rows, dtype=np.bool_),
        timestamp=day * _DAY,
        encoder="made up",
        slate=slate.astype(np.float32) if model.features.descriptors else None,
    )
    return gather(episodes, people_of(episodes), each, following(episodes, until=np.inf))
