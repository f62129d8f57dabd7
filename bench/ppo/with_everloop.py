"""Our trainer, as a training in one process drives it."""

from __future__ import annotations

from functools import partial

import torch

from bench.ppo.problem import Problem
from bench.ppo.terms import Terms
from bench.ppo.trace import Trace
from everloop.contracts.datasets import Float, Float32
from everloop.contracts.loop_spec import ExplorationSpec, TrainingSpec
from rl.module import PolicyNetwork
from rl.ppo.plan import Plan
from rl.ppo.session import InProcess

_NEVER = 1e9


def plan_of(terms: Terms, problem: Problem, seed: int) -> Plan:
    """The terms as a plan; no peer explores beside its policy, so ours does not either."""
    training = TrainingSpec(
        iterations=terms.iterations,
        environments=terms.journeys,
        rollout_length=terms.length,
        minibatch=terms.minibatch,
        epochs=terms.epochs,
        learning_rate=terms.rate,
        discount=terms.discount,
        gae_lambda=terms.gae_lambda,
        clip=terms.clip,
        entropy=terms.entropy,
        entropy_end=terms.entropy,
        value_clip=_NEVER,
        kl_stop=_NEVER,
        gradient_norm=terms.gradient_norm,
        hidden=terms.hidden,
        journey_length=terms.size.length + 1,
        ensemble=0,
        pessimism=0.0,
        seed=seed,
    )
    return Plan(problem.source(seed), training, ExplorationSpec(start=0, training_floor=0), seed)


def train(terms: Terms, problem: Problem, seed: int, trace: Trace) -> None:
    """Train by the terms."""
    session = InProcess(plan_of(terms, problem, seed))
    torch.set_num_threads(1)
    trace.start()
    for iteration in range(terms.iterations):
        session.iterate(iteration)
        trace.mark((iteration + 1) * terms.batch, partial(_scores, session, terms))
    session.close()


def _scores(session: InProcess, terms: Terms, observation: Float32) -> Float:
    """The policy as it is now, with its weights taken out as a checkpoint takes them."""
    network = PolicyNetwork(terms.size.width, terms.size.actions, terms.hidden, 0)
    weights = session.state().weights
    network.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in weights.items()})
    scores: Float = network.logits(torch.from_numpy(observation)).numpy()
    return scores
