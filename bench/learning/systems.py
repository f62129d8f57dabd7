"""What is compared: each system learns from a log of so many episodes and is judged by the truth."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import torch

from bench.learning.places import HOME, Place, place
from bench.learning.released import Fitted, Releases
from bench.learning.true_model import TrueModel
from bench.private.population_log import World
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.policy_learning import LearningTask
from everloop.contracts.simulation import ProfileBatch, UserModel
from rl.encoders import layout
from rl.encoders.catalogue import ActionCatalogue
from rl.export import export_policy
from rl.learners import LEARNERS
from rl.module import PolicyNetwork
from rl.ppo.start import Start
from rl.ppo.training import train
from rl.runtime import load_policy
from synthetic.people import following, gather, people_of
from synthetic.user_model.reference_fit import reference_fit
from synthetic.user_model.tonight import cold_model

SIZES: Final = {1_000: (500, 2), 3_000: (1_000, 3), 10_000: (2_000, 5), 30_000: (5_000, 6)}
"""Episodes -> (people, episodes of each)."""
FURTHER: Final = 1_000
OLD: Final = 10_000
TRUE_PEOPLE: Final = 1_000
FLOOR: Final = 0.1
"""Exploration that serving never goes below."""
_OTHERS: Final = 1_000
"""Added to the seed of a world whose people are others than home's."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one row measures; its key.

    Attributes:
        system: a name of ``SYSTEMS``. where: the place that it is judged in.
        people, each: people and episodes of each that it learned from (the further ones, where it
            started from an old policy). seed: of world, noise and training.
    """

    system: str
    where: str
    people: int
    each: int
    seed: int


@lru_cache(maxsize=2)
def world_of(where: str, people: int, each: int, seed: int) -> World:
    """The log; people elsewhere are others than home's."""
    if where == HOME:
        return place(HOME).world(people, each, seed)
    return place(where, seed).world(people, each, seed + _OTHERS)


@lru_cache(maxsize=2)
def private(where: str, people: int, each: int, seed: int) -> Fitted:
    """Releases from such a log alone."""
    with Releases(seed) as releases:
        loop = place(where, 0 if where == HOME else seed).loop
        return releases.first(loop, world_of(where, people, each, seed).episodes)


@lru_cache(maxsize=2)
def continued(where: str, seed: int) -> Fitted:
    """Releases from ``FURTHER`` episodes elsewhere, the user model going on from home's."""
    with Releases(seed) as releases:
        releases.first(place(HOME).loop, world_of(HOME, *SIZES[OLD], seed).episodes)
        episodes = world_of(where, *SIZES[FURTHER], seed).episodes
        return releases.later(place(where, seed).loop, episodes)


@lru_cache(maxsize=2)
def not_private(where: str, people: int, each: int, seed: int) -> Fitted:
    """The same user model fitted without privacy, played with the people who were logged."""
    fitted = private(where, people, each, seed)
    episodes, spec = world_of(where, people, each, seed).episodes, certain(fitted.spec)
    everyone = people_of(episodes)
    known = following(episodes, float(episodes.timestamp.max()))
    log = gather(episodes, everyone, spec.privacy.episodes_per_person, known)
    cold = cold_model(spec, episodes, layout(spec))
    model = cold.moved(reference_fit(spec, fitted.model.features, log).flat)
    name = hashlib.sha256(f"not private {where} {people} {each} {seed}".encode()).hexdigest()
    model.facts = dataclasses.replace(model.facts, release_id=name)
    profiles = ProfileBatch(
        episodes.context,
        episodes.mask,
        episodes.mask.any(axis=1).astype(float),
        episodes.encoder,
        name,
    )
    return Fitted(spec, model, profiles)  # type: ignore[arg-type]


def certain(spec: LoopSpec) -> LoopSpec:
    """The loop for a user model that knows of no error of its own."""
    changed = spec.training.model_copy(update={"ensemble": 0, "pessimism": 0.0})
    return spec.model_copy(update={"training": changed})


def learn(
    learner: str,
    spec: LoopSpec,
    model: UserModel,
    profiles: ProfileBatch,
    seed: int,
    world: World | None = None,
    start: Path | None = None,
) -> Path:
    """The folder of a policy's files; the caller's to remove."""
    folder = Path(tempfile.mkdtemp(prefix="bench-learning-"))
    if learner == "ppo":
        train(spec, model, profiles, profiles.encoder, seed, folder, start=start)
        return folder
    episodes = None if world is None else world.episodes
    task = LearningTask(spec, model, profiles, seed, folder, episodes)
    return LEARNERS[learner].learn(task).folder


@lru_cache(maxsize=2)
def old_policy(seed: int) -> Path:
    """What PPO learned at home from ``OLD`` episodes."""
    fitted = private(HOME, *SIZES[OLD], seed)
    return learn("ppo", fitted.spec, fitted.model, fitted.profiles, seed)


def _from_private(learner: str) -> Callable[[Terms], Path]:
    def run(terms: Terms) -> Path:
        fitted = private(terms.where, terms.people, terms.each, terms.seed)
        if learner == "ppo" and terms == Terms("ppo", HOME, *SIZES[OLD], terms.seed):
            return old_policy(terms.seed)
        return learn(learner, fitted.spec, fitted.model, fitted.profiles, terms.seed)

    return run


def _raw(terms: Terms) -> Path:
    fitted = private(terms.where, terms.people, terms.each, terms.seed)
    world = world_of(terms.where, terms.people, terms.each, terms.seed)
    return learn("raw_dr", fitted.spec, fitted.model, fitted.profiles, terms.seed, world)


def _not_private(terms: Terms) -> Path:
    fitted = not_private(terms.where, terms.people, terms.each, terms.seed)
    return learn("ppo", fitted.spec, fitted.model, fitted.profiles, terms.seed)


def _true(terms: Terms) -> Path:
    there = place(terms.where, 0 if terms.where == HOME else terms.seed)
    model = TrueModel(there, TRUE_PEOPLE, terms.seed)
    return learn("ppo", certain(there.loop), model, model.profiles, terms.seed)


def _transferred(terms: Terms) -> Path:
    fitted = continued(terms.where, terms.seed)
    start = old_policy(terms.seed)
    return learn("ppo", fitted.spec, fitted.model, fitted.profiles, terms.seed, start=start)


def _unchanged(terms: Terms) -> Path:
    """Home's policy as it is; actions that it never saw are scored by their features alone."""
    old, loop = old_policy(terms.seed), place(terms.where, terms.seed).loop
    features = ActionCatalogue(loop).features
    width, hidden = layout(loop).width, loop.training.hidden
    network = PolicyNetwork(width, len(loop.actions), hidden, terms.seed, features)
    taken = Start.read(old).weights_for(loop, network)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in taken.items()})
    folder = Path(tempfile.mkdtemp(prefix="bench-learning-"))
    export_policy(network, loop, f"{loop.name}-unchanged", folder / "policy.onnx")
    return folder


SYSTEMS: Final[dict[str, Callable[[Terms], Path]]] = {
    "ppo": _from_private("ppo"),
    "greedy": _from_private("greedy"),
    "lin_ts": _from_private("lin_ts"),
    "lin_ucb": _from_private("lin_ucb"),
    "raw_dr (report only)": _raw,
    "ppo, not private": _not_private,
    "ppo on the truth": _true,
    "ppo, transferred": _transferred,
    "ppo, unchanged": _unchanged,
}


def measure(terms: Terms) -> dict[str, Any]:
    """Learn, serve and judge one row."""
    there: Place = place(terms.where, 0 if terms.where == HOME else terms.seed)
    started = time.process_time()
    folder = SYSTEMS[terms.system](terms)
    learned_in = time.process_time() - started
    policy = load_policy(folder / "policy.onnx", spec=there.loop)
    found = there.worth(there.rolled_out(there.served(policy)))
    explored = there.worth(there.rolled_out(there.served(policy, FLOOR)))
    return {
        **dataclasses.asdict(terms),
        "size": terms.people * terms.each,
        **found,
        "share_at_floor": explored["share"],
        "cpu_s": learned_in,
    }
