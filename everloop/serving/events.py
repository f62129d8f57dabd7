"""Request bodies as events: checked against their loop, pseudonymous, with health fields sealed."""

from __future__ import annotations

from everloop.contracts.access import Caller
from everloop.contracts.actions import ActionKind
from everloop.contracts.episodes import Arm, Episode, Outcome, RewardSignal, canonical_uuid
from everloop.contracts.errors import ShouldFixEpisode
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.serving import Decision
from everloop.intake.conformity import conform_signal, context_nonconformities, did_you_mean
from everloop.intake.slates import slate_nonconformities
from everloop.serving.bodies import ConfirmedDecision, EpisodeBody, RewardBody
from everloop.serving.service import Service


def logged_episode(service: Service, caller: Caller, body: EpisodeBody) -> Episode:
    """The episode of a decision that a product made by itself.

    Raises:
        ShouldFixEpisode: naming what doesn't fit the schema or the loop.
        ShouldNameKnownId: the service has no such loop.
    """
    spec = service.loop(body.loop)
    valid = spec.action_ids if body.valid_actions is None else tuple(body.valid_actions)
    _check_actions(spec, body, valid)
    for wrong in context_nonconformities(spec, body.context_snapshot, "context_snapshot"):
        raise ShouldFixEpisode(f"Episode {body.episode_id}: {wrong}", wrong.fix)
    if spec.actions[spec.action_index[body.action_taken]].kind is ActionKind.SUGGEST_PAIRING:
        for wrong in slate_nonconformities(spec, body.action_arguments):
            raise ShouldFixEpisode(f"Episode {body.episode_id}: {wrong}", wrong.fix)
    episode_id = _canonical(body.episode_id)
    return Episode(
        episode_id=episode_id,
        user_id=service.workspace.pseudonyms.of(body.user_id, caller.tenant),
        loop=spec.name,
        context_snapshot=service.vault.seal(spec, caller.tenant, episode_id, body.context_snapshot),
        action_taken=body.action_taken,
        timestamp=body.timestamp,
        model_version=body.model_version,
        propensity=body.propensity,
        valid_actions=valid,
        action_arguments=service.workspace.pseudonyms.in_arguments(
            body.action_arguments, caller.tenant
        ),
        arm=Arm(body.arm),
        outcome=None if body.outcome is None else Outcome(body.outcome),
        reward_score=body.reward_score,
        tenant=caller.tenant,
    )


def confirmed_episode(decision: Decision, body: ConfirmedDecision) -> Episode:
    """The episode of a decision of ours: all but its outcome is as it was answered."""
    return Episode(
        episode_id=decision.decision_id,
        user_id=decision.user_id,
        loop=decision.loop,
        context_snapshot=decision.context_snapshot,
        action_taken=decision.action_taken,
        timestamp=decision.timestamp,
        model_version=decision.model_version,
        propensity=decision.propensity,
        valid_actions=decision.valid_actions,
        action_arguments=decision.action_arguments,
        arm=decision.arm,
        outcome=None if body.outcome is None else Outcome(body.outcome),
        reward_score=body.reward_score,
        tenant=decision.tenant,
    )


def logged_signal(spec: LoopSpec, caller: Caller, body: RewardBody) -> RewardSignal:
    """The reward signal of a request; ``ShouldFixSignal`` when its loop doesn't declare it so."""
    signal = RewardSignal(
        signal_id=body.signal_id,
        episode_id=body.episode_id,
        signal_type=body.signal_type,
        value=body.value,
        latency=body.latency,
        confidence=body.confidence,
        tenant=caller.tenant,
    )
    return conform_signal(spec, signal)


def _check_actions(spec: LoopSpec, body: EpisodeBody, valid: tuple[str, ...]) -> None:
    known = spec.action_index
    for name, actions in (("action_taken", (body.action_taken,)), ("valid_actions", valid)):
        for action in actions:
            if action not in known:
                raise ShouldFixEpisode(
                    f"Episode {body.episode_id}: {name}={action!r:.120} is not in the catalogue of "
                    f"loop {spec.name!r}.",
                    did_you_mean(action, spec.action_ids),
                )


def _canonical(episode_id: str) -> str:
    try:
        return canonical_uuid(episode_id)
    except (ValueError, AttributeError):
        raise ShouldFixEpisode(
            f"Episode {episode_id!r} is not a UUID.", "Send a UUID made once per decision."
        ) from None
