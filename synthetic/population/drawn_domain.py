"""Another domain, drawn from a seed: other actions that work by the law which features imply.

The law is the least squares of the companion's tables on its features, no_action aside, without an
intercept: to be like nothing is to do nothing. A drawn action's row is the law at its features plus a
residual whose deviation is the companion's own, with degrees of freedom counted (7 actions, 5 features:
sqrt(RSS / 2) a column). What belongs to a kind (which signals are sent, how compatibility eases
loneliness) is the kind's.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from everloop.contracts.constraint_spec import ConstraintSpec
from everloop.contracts.datasets import Float, Int
from everloop.contracts.loop_spec import ActionSpec, LoopSpec
from synthetic.population.catalogue import ACTIONS, KIND_OF, KINDS, NOTHING
from synthetic.population.disturbance import PRESENT
from synthetic.population.domain import Domain, require_domain
from synthetic.population.tastes import DAILY, EFFECT, FEATURES, MOOD, OFFSET, TASTE

CATALOGUE: Final[tuple[dict[str, Any], ...]] = (
    {"id": ACTIONS[NOTHING], "kind": "no_action"},
    {"id": "pair-two", "kind": "suggest_pairing", "people": 2},
    {"id": "hive-craft", "kind": "recommend_hive", "event_id": "craft"},
    {"id": "hive-run", "kind": "recommend_hive", "event_id": "run"},
    {"id": "hive-reading", "kind": "recommend_hive", "event_id": "reading"},
    {"id": "intervene-gentle", "kind": "intervention", "tone": "gentle", "message": "How are you?"},
    {
        "id": "intervene-curious",
        "kind": "intervention",
        "tone": "curious",
        "message": "Did you know this?",
    },
    {
        "id": "intervene-firm",
        "kind": "intervention",
        "tone": "firm",
        "message": "Time for a pause.",
    },
)
"""The drawn domain's actions; their features come from the seed."""

MOST_EFFECT: Final = 0.65
"""No drawn step is more certain, so that compatibility still has room."""
_COMPANY: Final = 1
_CLOSER_ALONE, _CLOSER_LESS = 0.4, 0.05
_FEATURES, _RESIDUALS = 7, 8


def law_of(table: Float) -> tuple[Float, Float]:
    """((F, k), (k,)) what features imply for a table of the companion (A, k), and the deviation of its
    residuals with degrees of freedom counted."""
    seen, rows = FEATURES[1:], table[1:]
    law = np.asarray(np.linalg.lstsq(seen, rows, rcond=None)[0], dtype=np.float64)
    left = rows - seen @ law
    return law, np.sqrt((left**2).sum(axis=0) / (len(seen) - seen.shape[1]))


def drawn_domain(seed: int, residual: float = 1.0) -> Domain:
    """Draw a domain.

    Args:
        seed: >= 0. residual: factor on the residuals; 0: features say all.
    """
    kinds = np.array([_place(action["kind"]) for action in CATALOGUE])
    partners = np.array([action.get("people", 0) for action in CATALOGUE])
    features = _features(kinds, np.random.default_rng([seed, _FEATURES]))
    rng = np.random.default_rng([seed, _RESIDUALS])

    def table(shipped: Float) -> Float:
        law, deviation = law_of(shipped)
        drawn = features @ law + residual * deviation * rng.normal(
            size=(len(features), len(law[0]))
        )
        drawn[NOTHING] = shipped[NOTHING]
        return np.asarray(drawn)

    mood, taste, offset = table(MOOD), table(TASTE), table(OFFSET[:, None])[:, 0]
    daily, effect = table(DAILY), np.clip(table(EFFECT), -MOST_EFFECT, MOST_EFFECT)
    closer = np.where(partners > 0, _CLOSER_ALONE - _CLOSER_LESS * partners, 0.0)
    sent = {kind: PRESENT[kind == KIND_OF].mean(axis=0) for kind in np.unique(KIND_OF)}
    return Domain(
        name=f"drawn-{seed}",
        actions=tuple(action["id"] for action in CATALOGUE),
        kind_of=kinds,
        partners=partners,
        features=features,
        mood=mood,
        taste=taste,
        offset=offset,
        daily=daily,
        effect=effect,
        closer=closer,
        present=np.stack([sent[kind] for kind in kinds]),
    )


def spoken(loop: LoopSpec, domain: Domain) -> LoopSpec:
    """The companion loop with a drawn domain's catalogue: all else is the same, but for constraints, which
    name actions of the companion's and are left out.

    Raises:
        ShouldFixArgument: the domain has other actions than ``CATALOGUE``, or the loop is no companion.
    """
    actions = tuple(
        ActionSpec(**action, features=tuple(features))
        for action, features in zip(CATALOGUE, domain.features.tolist(), strict=True)
    )
    kept = {name: getattr(loop, name) for name in LoopSpec.model_fields}
    made = LoopSpec.model_validate({**kept, "actions": actions, "constraints": ConstraintSpec()})
    require_domain(made, domain)
    return made


def _place(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else -1


def _features(kinds: Int, rng: np.random.Generator) -> Float:
    """(A, F) coordinates that the companion's actions have, each drawn anew; company is a pairing's own
    and is drawn among the others' for what is none. No two actions are alike."""
    pairing = kinds == KINDS.index("suggest_pairing")
    alone = FEATURES[1:][KIND_OF[1:] != KINDS.index("suggest_pairing"), _COMPANY]
    known = {tuple(row) for row in FEATURES.tolist()}
    features = np.zeros((len(kinds), FEATURES.shape[1]))
    for action in range(1, len(kinds)):
        while tuple(features[action]) in known:
            features[action] = [rng.choice(column) for column in FEATURES[1:].T]
            features[action, _COMPANY] = 1.0 if pairing[action] else rng.choice(alone)
        known.add(tuple(features[action].tolist()))
    return features
