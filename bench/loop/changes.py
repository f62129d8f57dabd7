"""A definition that changes while the loop runs: does the next daily run learn by the new one?

On the morning after the kept evening the product changes its loop's definition: a signal type that did not
exist before is sent from six o'clock on, or the weights are others. People live that day under what
serves, and the night's run is made under the new definition. Beside it stands the same day and night
without the change. Both nights' candidates are judged by the truth of the *new* definition at the day's
states, one decision each.

The product's three signals agree on which action suits somebody best, so that other weights move rewards
and values, and hardly any choice pays more; the new signal prefers other actions than they do.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.special import expit

from bench.loop.fork import go_on
from bench.loop.life import Life, arguments_of, verdict_of
from bench.loop.served import Served
from bench.loop.terms import LoopTerms, end_of
from bench.private.population_log import encode_wide
from components._evaluation import FILES
from everloop.contracts.datasets import Float
from everloop.contracts.documents import read
from everloop.contracts.episodes import RewardSignal
from everloop.contracts.figures import RewardFigures
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from everloop.sdk.demo.door import TENANT, open_door
from everloop.sdk.demo.night import Night, learn
from rl.runtime import load_policy
from synthetic.population.responses import Responses
from synthetic.population.state import Hidden

CALM: Final = "calm"
CALM_WEIGHT: Final = 1.0
SENT: Final = 0.9
FROM_HOUR: Final = 6
NEW_WEIGHTS: Final = (0.9, 0.05, 0.05)
_Z: Final = 1.959963984540054
_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "everloop/bench/loop/calm")
_LATENCY: Final = 900


@dataclass(frozen=True, slots=True)
class Change:
    """A changed definition.

    Attributes:
        name: as tables say it.
        loop: (loop before) -> loop after.
        worth: (law of responses, states) -> (n, A) expected reward by the new definition.
        sends: whether a new signal is sent.
    """

    name: str
    loop: Callable[[LoopSpec], LoopSpec]
    worth: Callable[[Responses, Hidden], Float]
    sends: bool = False


def reweighted(spec: LoopSpec) -> LoopSpec:
    """Nearly all weight on engagement."""
    signals = tuple(
        signal.model_copy(update={"weight": weight})
        for signal, weight in zip(spec.signals, NEW_WEIGHTS, strict=True)
    )
    return LoopSpec.model_validate(_sections(spec) | {"signals": signals})


def with_calm(spec: LoopSpec) -> LoopSpec:
    """One signal type more, with as much weight as the others together; the least reward that can be
    attained falls with it, to that of two-sided signals at -1 and none of engagement."""
    calm = type(spec.signals[0]).model_validate(
        {
            "name": CALM,
            "low": 0,
            "high": 1,
            "two_sided": True,
            "weight": CALM_WEIGHT,
            "silence": "missing",
            "description": "how calm the person says they are after the decision",
        }
    )
    signals = (*spec.signals, calm)
    least = -sum(s.weight for s in signals if s.two_sided) / sum(s.weight for s in signals)
    reward = spec.reward.model_copy(update={"attainable_low": least})
    return LoopSpec.model_validate(_sections(spec) | {"signals": signals, "reward": reward})


def _sections(spec: LoopSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in LoopSpec.model_fields}


def calm_chance(law: Responses, hidden: Hidden) -> Float:
    """(n, A) chance that somebody says they are calm: the more an action eases tension, and the tenser
    they were, the likelier."""
    eased = -law.domain.effect[:, 0]
    return np.asarray(expit(4.0 * (eased + 0.5 * eased * hidden.feeling[:, :1] - 0.3)))


def worth_by_weights(law: Responses, hidden: Hidden) -> Float:
    """(n, A) true expected reward by the new weights."""
    return replace(law, loop=reweighted(law.loop)).expected_reward(hidden)


def worth_with_calm(law: Responses, hidden: Hidden, weighs: float = CALM_WEIGHT) -> Float:
    """(n, A) true expected reward with the new signal: the mean over what is present of sum(w m) / sum(w).

    The others' part is over presence patterns too, so the sum goes through them all.
    """
    weight = np.array([signal.weight for signal in law.loop.signals])
    means, present = law.means(hidden), law.presence()
    calm = 2.0 * calm_chance(law, hidden) - 1.0
    total = np.zeros(calm.shape)
    for said in (0, 1):
        for resonance in (0, 1):
            for thumb in (0, 1):
                chance = (
                    (SENT if said else 1 - SENT)
                    * np.where(resonance, present[:, 1], 1 - present[:, 1])
                    * np.where(thumb, present[:, 2], 1 - present[:, 2])
                )
                earned = (
                    weight[0] * present[:, 0] * means[..., 0]
                    + resonance * weight[1] * (2 * means[..., 1] - 1)
                    + thumb * weight[2] * (2 * means[..., 2] - 1)
                    + said * weighs * calm
                )
                mass = weight[0] + resonance * weight[1] + thumb * weight[2] + said * weighs
                total += chance * earned / mass
    return total


CHANGES: Final = (
    Change("new weights", reweighted, worth_by_weights),
    Change("new signal type", with_calm, worth_with_calm, sends=True),
)


def make(change: Change, terms: LoopTerms, kept: Path, home: Path) -> dict[str, Any]:
    """The row of a change: the next run's figures with it and without it."""
    before, day, plain = _run(terms, kept, home, None, "plain")
    after, _, changed = _run(terms, kept, home, change, "changed")
    law, made = day.played.responses, day.played.decisions
    worth = change.worth(law, made.hidden)
    context = encode_wide(terms.spec, made.contexts)
    old, new = (
        load_policy(found / "policy.onnx").act(States(context, made.valid), 0.0).propensity
        for found in (plain.folder, changed.folder)
    )
    gained = ((new - old) * worth).sum(axis=1)
    half = _Z * float(gained.std(ddof=1) / np.sqrt(len(gained)))
    best = np.where(made.valid, worth, -np.inf).max(axis=1).mean()
    row = {
        "change": change.name,
        "mean_reward_before": before.mean.value,
        "mean_reward_after": after.mean.value,
        "worth_of_old": float((old * worth).sum(axis=1).mean()),
        "worth_of_new": float((new * worth).sum(axis=1).mean()),
        "best": float(best),
        "gained": float(gained.mean()),
        "gained_low": float(gained.mean()) - half,
        "gained_high": float(gained.mean()) + half,
        "n": len(gained),
        "moved": float(np.abs(new - old).sum(axis=1).mean() / 2),
        "gate": changed.gate,
        "hours": 24 - FROM_HOUR + changed.seconds / 3600,
        "run_seconds": changed.seconds,
    }
    for found in (plain, changed):
        shutil.rmtree(found.folder, ignore_errors=True)
    return row


@dataclass(frozen=True, slots=True)
class _Learned:
    folder: Path
    gate: str
    seconds: float


def _run(
    terms: LoopTerms, kept: Path, home: Path, change: Change | None, name: str
) -> tuple[RewardFigures, Served, _Learned]:
    """One day and its night's run; ``change`` None: without one."""
    life, _ = go_on(terms, kept, home)
    try:
        served = life.serve()
        if change is not None:
            life.spec = change.loop(life.spec)
            if change.sends:
                _send_calm(life, served)
        on = served.played.date
        started = time.perf_counter()
        arguments = arguments_of(life.spec, home, on)
        night = learn(arguments, life.folder, lambda _: None)
        seconds = time.perf_counter() - started
        if night.ended_at:
            raise RuntimeError(f"The night of a change ended at {night.ended_at}: {night.reason}")
        folder = _kept(night, home, name)
        figures = read(RewardFigures, night.path("rewards") / "figures.json")
        return figures, served, _Learned(folder, verdict_of(night), seconds)
    finally:
        life.place.engine.dispose()
        shutil.rmtree(home, ignore_errors=True)


def _kept(night: Night, home: Path, name: str) -> Path:
    folder = home.with_name(f"{home.name}-{name}")
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        shutil.copyfile(night.path("policy") / file, folder / file)
    return folder


def _send_calm(life: Life, served: Served) -> None:
    """The day's new signals, from six o'clock on."""
    made, law = served.played.decisions, served.played.responses
    rng = np.random.default_rng([life.terms.seed, life.finished, 99])
    rows = np.arange(len(made))
    chance = calm_chance(law, made.hidden)[rows, made.action]
    says = rng.random(len(made)) < chance
    sends = (rng.random(len(made)) < SENT) & (made.contexts.hour >= FROM_HOUR)
    end = end_of(served.played.date).timestamp()
    sends &= made.timestamp + _LATENCY <= end
    with open_door(life.place, life.spec) as door:
        door.store(
            (),
            (
                RewardSignal(
                    signal_id=str(uuid.uuid5(_IDS, served.played.decision_ids[row])),
                    episode_id=served.played.decision_ids[row],
                    signal_type=CALM,
                    value=float(says[row]),
                    latency=_LATENCY,
                    confidence=1.0,
                    tenant=TENANT,
                )
                for row in np.flatnonzero(sends).tolist()
            ),
        )
