"""What a product asks: a person's state and what could be done now, checked against the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Bool
from everloop.contracts.episodes import Json, canonical_json, canonical_uuid
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from everloop.intake.conformity import context_nonconformities, did_you_mean
from everloop.serving.decisions.candidates import Candidates, fillable
from rl.constraints import constraints_of
from rl.encoders.context import encoder_of


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the decision engine.

    Attributes:
        decision_id: UUID, by the client or by us.
        spec: the loop that decides.
        user_id: pseudonym of the person.
        context: every context field of the specification, by name.
        request_sha256: checksum of what was asked.
        valid_actions: what could be done now; ``None``: the whole catalogue.
        action_arguments: whom or what the action would be about.
        candidates: whom a pairing may suggest; ``None``: the product picks.

    Raises:
        ShouldFixArgument: the id is no UUID, or the arguments are no finite JSON.
    """

    decision_id: str
    spec: LoopSpec
    user_id: str
    context: Mapping[str, Json]
    request_sha256: str
    valid_actions: tuple[str, ...] | None = None
    action_arguments: Mapping[str, Json] = field(default_factory=dict)
    candidates: Candidates | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "decision_id", canonical_uuid(self.decision_id))
        except (ValueError, AttributeError, TypeError):
            raise ShouldFixArgument(
                f"decision_id={self.decision_id!r} is not a UUID.",
                "Send a UUID made once per decision, or none.",
            ) from None
        if self.action_arguments:
            try:
                canonical_json(self.action_arguments)
            except (ValueError, TypeError) as problem:
                raise ShouldFixArgument(
                    f"action_arguments is not finite JSON ({problem}).", "Leave NaN out."
                ) from None


class Catalogue:
    """A loop's actions as arrays over A, the catalogue's order.

    Attributes:
        spec: the loop.
        everything: (A,) all True.
        critical: (A,) True for safety-critical actions; ``any_critical``: there is one.
        rules: what is never done.
        limited: ids of the actions that some limit covers.
    """

    def __init__(self, spec: LoopSpec) -> None:
        self.spec = spec
        self.rules = constraints_of(spec)
        self.everything: Bool = np.ones(len(spec.actions), dtype=np.bool_)
        self.critical: Bool = np.array([a.safety_critical for a in spec.actions], dtype=np.bool_)
        self.any_critical = bool(self.critical.any())
        for mask in (self.everything, self.critical):
            mask.flags.writeable = False
        self.limited = self.ids(self.rules.limits.limited)

    @cached_property
    def quiet(self) -> tuple[int, ...]:
        """Indices of the actions of kind ``no_action``."""
        return tuple(
            i for i, action in enumerate(self.spec.actions) if action.kind is ActionKind.NO_ACTION
        )

    def ids(self, mask: Bool) -> tuple[str, ...]:
        """Ids of a mask's actions, in catalogue order."""
        return tuple(self.spec.action_ids[i] for i in np.flatnonzero(mask))

    def mask(self, valid_actions: tuple[str, ...] | None) -> Bool:
        """(A,) mask of what is valid.

        Raises:
            ShouldFixArgument: no action is valid, one is named twice, or one is unknown.
        """
        if valid_actions is None:
            return self.everything
        if not valid_actions:
            raise ShouldFixArgument(
                "valid_actions=[] leaves nothing to decide.",
                "Name at least one action, or leave it out to allow the whole catalogue.",
            )
        mask = np.zeros(len(self.everything), dtype=np.bool_)
        for action in valid_actions:
            index = self.spec.action_index.get(action)
            if index is None:
                raise ShouldFixArgument(
                    f"valid_actions names {action!r}, which is not in the catalogue of loop "
                    f"{self.spec.name!r}.",
                    did_you_mean(action, self.spec.action_ids),
                )
            if mask[index]:
                raise ShouldFixArgument(
                    f"valid_actions names {action!r} twice.", "List each action once."
                )
            mask[index] = True
        return mask


def check_context(spec: LoopSpec, context: Mapping[str, Json]) -> None:
    """Refuse a context that could not become an episode.

    Raises:
        ShouldFixArgument: naming the first field that does not fit, its value and the fix.
    """
    for wrong in context_nonconformities(spec, context, "context"):
        raise ShouldFixArgument(str(wrong), wrong.fix)


def states_of(
    catalogue: Catalogue, questions: Sequence[Question], named: Callable[[int], str]
) -> States:
    """The n encoded states and masks of n questions of one loop.

    The rules are the episode door's, so that every decision can be confirmed as an episode.
    ``named`` says how an error calls a question: "" or "decisions[3]: ".

    Raises:
        ShouldFixArgument: naming the field, its value and the fix.
    """
    mask = np.empty((len(questions), len(catalogue.everything)), dtype=np.bool_)
    for row, question in enumerate(questions):
        try:
            check_context(catalogue.spec, question.context)
            mask[row] = catalogue.mask(question.valid_actions)
            if question.candidates is not None:
                mask[row] = fillable(catalogue.spec, mask[row], question.candidates)
        except ShouldFixArgument as problem:
            raise ShouldFixArgument(f"{named(row)}{problem.message}", problem.remedy) from None
    encoder = encoder_of(catalogue.spec)
    if len(questions) == 1:
        return States(encoder.encode_one(questions[0].context), mask)
    return States(encoder.encode([question.context for question in questions]), mask)
