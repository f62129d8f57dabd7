"""What a night's fit starts from: an earlier release, also one for a catalogue that has changed, or signals
that were joined by others, since."""

from __future__ import annotations

from dataclasses import replace

from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model.carrying import carried_over, carried_uncertainty, known_share
from synthetic.user_model.facts import ReleaseFacts
from synthetic.user_model.file import StoredRelease
from synthetic.user_model.further_signals import with_further_signals
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.mlp import MlpUserModel
from synthetic.user_model.weights import Weights


def continued(
    old: StoredRelease, cold: LinearUserModel | MlpUserModel, spec: LoopSpec
) -> LinearUserModel | MlpUserModel | None:
    """An earlier release under the features of ``cold``, with its facts and how far it may be off.

    Linear heads are carried over to another catalogue or limit (``carrying``), and their precision
    counts by the share of what may vary that they still speak of. It is restated for the people
    expected tonight: what a release knows grows with its people, so that a few hundred move little of
    what thousands said. A hidden layer mixes what it sees, so that under other features it starts anew.

    Args:
        old: the earlier release.
        cold: what a first fit would start from tonight.
        spec: the loop as it is tonight.

    Returns:
        ``None`` for a release of another kind, loop, meaning of states, or names of features, or one of
        a signal that is declared no more.

    Raises:
        ShouldFixArgument: its weights say nothing under the new features.
    """
    if old.facts.signals != cold.facts.signals:
        further = with_further_signals(old, spec)
        if further is None:
            return None
        old = further
    facts, ids = old.facts, cold.facts.actions
    if _terms(facts) != _terms(cold.facts):
        return None
    start, known = old.weights, old.uncertainty
    if not old.features.same(cold.features) or facts.actions != ids:
        if not isinstance(start, Weights):
            return None
        start = carried_over(old.features, facts.actions, start, cold.features, ids)
        if known is not None:
            known = carried_uncertainty(known, old.features, facts.actions, cold.features, ids)
        known_part = known_share(old.features, facts.actions, cold.features, ids)
        precision = facts.precision * known_part
        facts = replace(facts, actions=ids, precision=precision)
    if len(start.flat) != cold.parameters:
        return None
    facts = replace(
        facts, precision=facts.precision * facts.people_expected / cold.facts.people_expected
    )
    model = cold.moved(start.flat)
    model.facts, model.uncertainty = facts, known
    return model


def _terms(facts: ReleaseFacts) -> tuple[object, ...]:
    return (
        facts.kind,
        facts.loop,
        facts.states or facts.encoder,
        facts.signals,
        facts.action_features,
        facts.descriptors,
    )
