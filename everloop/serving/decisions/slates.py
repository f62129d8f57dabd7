"""From a chosen pairing to whom it suggests, and with what probability.

Candidates are scored by the pairing model that serves; where none does, or it fails, everybody scores
alike and the slate is uniform: a person's answer never waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from everloop.contracts.actions import (
    DESCRIPTORS,
    SLATE,
    SLATE_PROPENSITY,
    USER_IDS,
    ActionKind,
)
from everloop.contracts.datasets import Float, Float32
from everloop.contracts.episodes import Json
from everloop.contracts.loop_spec import ActionSpec
from everloop.serving.decisions.candidates import Candidates
from everloop.serving.decisions.models import brief
from everloop.serving.decisions.pairing import ServedPairing
from everloop.serving.decisions.randomness import Uniform
from rl.slates import draw_slate, evidence_of

RESERVED = (USER_IDS, DESCRIPTORS, SLATE_PROPENSITY, SLATE)
"""Arguments of a pairing that the service writes where it draws the slate."""


class SlateFallback(StrEnum):
    """Why a slate is uniform."""

    NONE = ""
    NO_MODEL = "no_model"
    """No pairing model is deployed."""
    MODEL_FAILED = "model_failed"
    """The deployed one did not load, failed, or is left alone by its breaker."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of K candidates as they enter the softmax, and whose they are."""

    scores: Float
    version: str
    fallback: SlateFallback


class SlateMaker:
    """Scores and draws.

    Args:
        model: the pairing model that serves, if one does.
        deployed: whether one should.
        sharpness: what scores are multiplied by, > 0.
        uniform: draws positions.
        opened: told of the version whose breaker a failure opened.
        warn: told of every failure.
    """

    def __init__(
        self,
        model: ServedPairing | None,
        deployed: bool,
        sharpness: float,
        uniform: Uniform,
        opened: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._model = model
        self._deployed = deployed
        self._sharpness = sharpness
        self._uniform = uniform
        self._opened = opened
        self._warn = warn

    def arguments(
        self, action: ActionSpec, candidates: Candidates, context: Float32, epsilon: float
    ) -> Mapping[str, Json]:
        """What the record of an action says of whom it suggests; nothing for other actions.

        ``slate_propensity`` is P(ordered slate | the action), and ``slate`` the evidence that recomputes
        it (``rl.slates.SlateEvidence``) with the version that scored.

        Args:
            action: the chosen one; a pairing suggests at most as many people as there are candidates.
            candidates: K people.
            context: (d,) the state of the person who is asked for.
            epsilon: exploration share that the action was chosen with.
        """
        if action.kind is not ActionKind.SUGGEST_PAIRING or not action.people:
            return {}
        scored = self._scored(context, candidates)
        uniforms = [self._uniform.random() for _ in range(action.people)]
        drawn = draw_slate(scored.scores, uniforms, epsilon)
        kept = evidence_of(scored.scores, drawn.picked, epsilon)
        user_ids, descriptors = candidates.written(drawn.picked)
        return {
            USER_IDS: user_ids,
            DESCRIPTORS: descriptors,
            SLATE_PROPENSITY: drawn.propensity,
            SLATE: {
                "scores": list(kept.scores),
                "rest": kept.rest,
                "candidates": kept.candidates,
                "epsilon": kept.epsilon,
                "model_version": scored.version,
                "fallback": str(scored.fallback),
            },
        }

    def _scored(self, context: Float32, candidates: Candidates) -> Scored:
        alike = np.zeros(len(candidates))
        model = self._model
        if model is None:
            why = SlateFallback.MODEL_FAILED if self._deployed else SlateFallback.NO_MODEL
            return Scored(alike, "", why)
        if not model.breaker.admits():
            return Scored(alike, "", SlateFallback.MODEL_FAILED)
        try:
            found = self._sharpness * model.scores(context, candidates.descriptors)
        except Exception as failure:  # whatever a model raises, somebody waits for an answer
            if model.breaker.failed():
                self._opened(model.version)
            self._warn(f"Pairing model {model.version} failed: {brief(failure)}")
            return Scored(alike, "", SlateFallback.MODEL_FAILED)
        model.breaker.succeeded()
        return Scored(found, model.version, SlateFallback.NONE)
