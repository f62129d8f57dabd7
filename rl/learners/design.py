"""Which linear function of context and action a bandit learns.

A reward's mean is written as f(x, a) = z . theta with z = phi_a (x) u(x), u = [1, x_I] over the context
dimensions I that may interact with actions. Where the loop declares action features, phi_a is
[1, kind as one-hot, people / 20, features]: actions that look alike share what is learned. Where it
declares none, phi_a is one-hot and each action learns alone. Either way f(x, a) = u . theta_a with
theta_a = (phi_a (x) 1) . theta, which is the form that is served.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.loop_spec import LoopSpec
from rl.encoders.context import encoder_of

_MOST_PEOPLE = 20
"""The largest slate that a loop may declare."""


@dataclass(frozen=True, slots=True)
class Design:
    """``phi`` (A, m) describes actions, ``dimensions`` (|I|,) are the context's in u; q = 1 + |I|."""

    phi: Float
    dimensions: Int
    shared: bool

    @property
    def width(self) -> int:
        """q, entries of u."""
        return 1 + len(self.dimensions)

    def of(self, context: Float32) -> Float:
        """(n, q) u of (n, d) contexts."""
        ones = np.ones((len(context), 1))
        return np.hstack([ones, context[:, self.dimensions].astype(np.float64)])


def design_of(spec: LoopSpec) -> Design:
    """A loop's design; public, it follows from the specification alone."""
    dimensions = np.flatnonzero(encoder_of(spec).interacting)
    if not spec.action_features:
        return Design(np.eye(len(spec.actions)), dimensions, shared=False)
    kinds = list(ActionKind)
    phi = [
        [
            1.0,
            *(float(action.kind is kind) for kind in kinds),
            (action.people or 0) / _MOST_PEOPLE,
            *action.features,
        ]
        for action in spec.actions
    ]
    return Design(np.array(phi, dtype=np.float64), dimensions, shared=True)
