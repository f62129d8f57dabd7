"""What the client asks for: trials of personas and prompts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.ids import event_id
from everloop.sdk.client.answers.variants import MetVariant, VariantTrial
from everloop.sdk.client.call import Call
from everloop.sdk.client.calls import variants

T = TypeVar("T")


class PersonaTrials(ABC):
    """Variants of a persona or a prompt: started, met, looked at and ended."""

    def start_variants(
        self,
        base_persona: str,
        modifications: Mapping[str, Mapping[str, Any]],
        *,
        shares: Mapping[str, float],
        loop: str | None = None,
        subject: Literal["persona", "prompt"] = "persona",
        alpha: float = 0.05,
        min_people: int = 100,
        max_days: int = 28,
        experiment_id: str | None = None,
    ) -> VariantTrial:
        """Start a trial; the base gets the percent of people that the variants leave.

        Args:
            base_persona: the persona that people meet today.
            modifications: variant -> what it changes.
            shares: variant -> percent of people who meet it.
            max_days: after so many days without a winner the trial stops as undecided.
            experiment_id: made here when left out; the same id again is the same trial.
        """
        if set(shares) != set(modifications):
            raise ShouldFixArgument(
                f"Variants {sorted(modifications)} have shares for {sorted(shares)}.",
                "Give every variant a share.",
            )
        named = [
            {"variant_id": name, "modifications": dict(made), "traffic_percentage": shares[name]}
            for name, made in modifications.items()
        ]
        body = {
            "base_persona_id": base_persona,
            "variants": named,
            "loop": loop,
            "subject": subject,
            "alpha": alpha,
            "min_people": min_people,
            "max_days": max_days,
            "experiment_id": experiment_id or event_id(),
        }
        return self._ask(variants.start_trial(body))

    def variant_trials(self, loop: str | None = None) -> tuple[VariantTrial, ...]:
        """Trials, newest first, without figures."""
        return (self._ask(variants.trials(loop))).experiments

    def variant_trial(self, experiment_id: str) -> VariantTrial:
        """A trial with what people's feedback says now; looking changes nothing."""
        return self._ask(variants.trial(experiment_id))

    def meet_variant(self, experiment_id: str, user_id: str) -> MetVariant:
        """The variant that a person meets, which is noted and stays theirs while the trial runs."""
        return self._ask(variants.meet(experiment_id, user_id))

    def end_variants(
        self, experiment_id: str, reason: str, *, winner: str | None = None
    ) -> VariantTrial:
        """End a trial: everybody meets the winner, or the base where none is named."""
        return self._ask(variants.end_trial(experiment_id, reason, winner))

    @abstractmethod
    def _ask(self, call: Call[T]) -> T:
        """Send a call; its answer."""
