"""Slates: whom a pairing suggests, drawn from described candidates with a known probability.

``draw_slate`` and ``log_propensity`` are the Plackett-Luce law with exploration at every position,
``SlateEvidence`` is what a log keeps so that the propensity can be recomputed, and ``enough_people``
the mask of the pairings that so many candidates can fill.
"""

from rl.slates.evidence import SlateEvidence, evidence_of
from rl.slates.plackett_luce import Slate, draw_slate, log_propensity
from rl.slates.sizes import enough_people

__all__ = [
    "Slate",
    "SlateEvidence",
    "draw_slate",
    "enough_people",
    "evidence_of",
    "log_propensity",
]
