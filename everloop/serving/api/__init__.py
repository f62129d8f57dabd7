"""Routes, one module per resource; each exposes ``router``, and ``BODIES`` that it reads by itself."""

from everloop.serving.api import (
    audit,
    decide,
    episodes,
    feedback,
    interactions,
    observability,
    rewards,
)

RESOURCES = (episodes, rewards, decide, interactions, feedback, audit, observability)
"""In the order in which the documentation shows them."""
