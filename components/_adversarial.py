"""The attacks on a model, joined: what it does under pressure, and what the gate makes of false praise."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from components._pages import Told
from everloop.contracts.adversarial import AdversarialReview, Attack, AttackLimits
from everloop.contracts.datasets import Bool, EncodedEpisodes
from everloop.contracts.documents import to_json
from everloop.contracts.errors import EverloopError, ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, PolicyEvaluation
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, Provenance
from everloop.contracts.oversight import Oversight, OversightKind
from everloop.contracts.ports import Policy
from everloop.gates.evidence import GateEvidence
from everloop.gates.non_inferiority import NonInferiorityCheck
from everloop.gates.overlap import OverlapCheck
from everloop.registry.loading import ACTIVE, load
from everloop.reporting.wording import interval
from everloop.wiring import Workspace
from rl.adversarial import catalogue_tricks, extremes, perturbed
from rl.adversarial.answers import answer, figure, not_made, share
from rl.adversarial.poisoned import FixedAction, Poisoned, poison, weakest_action
from rl.encoders.context import layout
from rl.off_policy.evaluate import evaluate
from rl.runtime import load_policy

POISONED = "poisoned_rewards"
Suspecting = Callable[[Collection[str], str], Collection[str]]
"""(ids of bots' episodes, the action that they praise) -> those that anomaly detection holds back."""
MORE_BOTS = (2.0, 4.0, 8.0)
"""Multiples of the limit's share of bots that are tried too, to say how many it would take."""
_NAMESPACE = uuid.UUID("0d1f9f9e-7c35-4b7e-9a57-50e0f2a9ad3c")


@dataclass(frozen=True, slots=True)
class Attacked:
    """The model under attack."""

    checkpoint: ModelCheckpoint
    policy: Policy


def attacked_model(workspace: Workspace, spec: LoopSpec, tenant: str, model: str) -> Attacked:
    """A checkpoint's policy, verified; the active one where ``model`` is "".

    Raises:
        ShouldFixArgument: no model is active.
    """
    checkpoint = model or workspace.registry.alias(spec.name, ACTIVE, tenant)[0]
    if not checkpoint:
        raise ShouldFixArgument(
            f"Loop {spec.name!r} of tenant {tenant!r} has no active model to attack.",
            "Promote a candidate first: see everloop rollout status.",
        )
    found = load(checkpoint, workspace.registry, workspace.blobs)
    policy = load_policy(found.weights, found.checkpoint.weights_sha256, spec)
    return Attacked(found.checkpoint, policy)


def attack(
    spec: LoopSpec,
    policy: Policy,
    episodes: EncodedEpisodes,
    logged: int,
    limits: AttackLimits,
    suspecting: Suspecting | None = None,
    seed: int = 0,
) -> tuple[Attack, ...]:
    """Every attack, in the order in which they are reported.

    Args:
        spec: the loop.
        policy: the model.
        episodes: encoded decisions; held-out people's states are attacked.
        logged: how many episodes of the loop were ever logged.
        limits: how hard, and what is too much.
        suspecting: what the product's anomaly detection makes of bots; None: nothing is held back.
        seed: of every draw.
    """
    held = episodes.where(episodes.holdout)
    return (
        _withstood(
            perturbed.NAME,
            lambda: perturbed.attack_by_perturbation(policy, held, layout(spec), limits, seed),
        ),
        _withstood(extremes.NAME, lambda: extremes.attack_by_extremes(policy, spec, limits, seed)),
        _withstood(
            catalogue_tricks.NAME,
            lambda: catalogue_tricks.attack_by_catalogue(policy, spec, held, limits, seed),
        ),
        _withstood(
            POISONED, lambda: _poisoned(spec, policy, episodes, logged, limits, suspecting, seed)
        ),
    )


def _withstood(name: str, made: Callable[[], Attack]) -> Attack:
    """A model that ends an attack with an error has not withstood it."""
    try:
        return made()
    except EverloopError as problem:
        return Attack(answer(name, False, f"It ended in an error: {problem}", None, None))


def _poisoned(
    spec: LoopSpec,
    policy: Policy,
    episodes: EncodedEpisodes,
    logged: int,
    limits: AttackLimits,
    suspecting: Suspecting | None,
    seed: int,
) -> Attack:
    praised = weakest_action(episodes)
    if praised is None:
        return Attack(
            not_made(POISONED, "No action was taken often enough by held-out people to praise it.")
        )
    name = spec.action_ids[praised]
    planted = FixedAction(praised, episodes.encoder, f"always-{name}")

    def judged(bots: float) -> tuple[PolicyEvaluation, Poisoned, Bool]:
        made = poison(spec, episodes, praised, bots, seed)
        caught = np.zeros(len(episodes), dtype=np.bool_)
        if suspecting is not None and made.bots:
            ids = suspecting(frozenset(episodes.episode_id[made.theirs].tolist()), name)
            caught = np.isin(episodes.episode_id, list(ids)) & made.theirs
        left = made.without(caught)
        return evaluate(spec, left, planted, policy, logged=logged), made, caught[made.theirs]

    clean, _, _ = judged(0.0)
    if let_through(spec, clean):
        reason = f"Even {name!r}, which earns least, is no worse than what serves: nothing to gain."
        return Attack(answer(POISONED, True, reason, None, None), (clean.difference,))
    tried = [limits.bots * times for times in (1.0, *MORE_BOTS) if limits.bots * times <= 1]
    found = {bots: judged(bots) for bots in tried}
    passing = [bots for bots in tried if let_through(spec, found[bots][0])]
    poisoned, made, caught = found[limits.bots]
    withstood = limits.bots not in passing
    enough = min(passing, default=math.nan)
    reason = (
        f"With {made.bots:,} bots ({limits.bots:.0%} of people) that praise {name!r}, a policy that always "
        f"takes it differs from what serves by {interval(poisoned.difference)}, without them by "
        f"{interval(clean.difference)}: the gate {'holds it' if withstood else 'lets it through'}. "
        f"Anomaly detection holds {int(caught.sum()):,} of their {len(caught):,} episodes back. "
        + (
            f"{enough:.0%} of people would be enough."
            if passing
            else f"Not even {max(found):.0%} of people would be enough."
        )
    )
    figures = (
        clean.difference,
        poisoned.difference,
        share(
            "bots' episodes that anomaly detection holds back", caught, "signals set to extremes"
        ),
        figure("share of bots that is enough", enough, made.bots, f"of {len(found)} shares tried"),
    )
    return Attack(answer(POISONED, withstood, reason, enough, limits.bots), figures)


def let_through(spec: LoopSpec, evaluation: PolicyEvaluation) -> bool:
    """Whether the gate's overlap and non-inferiority would let a candidate go on."""
    evidence = GateEvidence(provenance=Provenance.PRIVATE_RELEASE, evaluation=evaluation)
    checks: tuple[Check, ...] = tuple(
        check(spec, evidence) for check in (OverlapCheck(), NonInferiorityCheck())
    )
    return all(check.status is CheckStatus.PASSED for check in checks)


def record(workspace: Workspace, review: AdversarialReview, at: datetime) -> Oversight:
    """Keep the review as a word on the attacked model; the same review is kept once.

    Args:
        workspace: where.
        review: what was found.
        at: when, with a time zone.
    """
    said = Oversight(
        oversight_id=str(uuid.uuid5(_NAMESPACE, to_json(review).decode())),
        kind=OversightKind.ADVERSARIAL_TEST,
        loop=review.loop,
        subject_id=review.checkpoint_id,
        passed=review.passed,
        actor=f"adversarial-review {review.loop} {review.logical_date}",
        reason=review.reason,
        at=at,
        evidence={
            "policy": review.policy,
            "dataset": review.dataset_id,
            "verdict": review.verdict.value,
            "attacks": {a.check.name: a.check.status.value for a in review.attacks},
        },
        tenant=review.tenant,
    )
    known = (o for o in workspace.oversights.all(review.loop, tenant=review.tenant))
    before = next((o for o in known if o.oversight_id == said.oversight_id), None)
    return before or workspace.oversights.add(said)


_RESULTS = {
    CheckStatus.PASSED: "withstood",
    CheckStatus.FAILED: "gave way",
    CheckStatus.INSUFFICIENT: "not known: there was too little to attack with",
}


def review_rows(review: AdversarialReview) -> Told:
    """A review: each attack, what came of it and its figures."""
    rows = [
        ("model", f"{review.policy}, checkpoint {review.checkpoint_id}"),
        ("result", _RESULTS[review.verdict]),
    ]
    metrics = {"attacks": float(len(review.attacks)), "passed": float(review.passed)}
    for made in review.attacks:
        rows.append((f"{made.check.name}: {made.check.status}", made.check.reason))
        rows += [
            (f"{made.check.name}: {f.name}", f"{interval(f)}, n = {f.n:,}; {f.method}")
            for f in made.figures
        ]
        if made.check.value is not None:
            metrics[made.check.name] = made.check.value
    return review.reason, rows, metrics, ()
