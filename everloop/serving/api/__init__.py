"""Routes, one module per resource.

Each exposes ``router``; ``BODIES``: models that it reads by itself; ``FAST``: what the fast lane answers.
"""

from everloop.serving.api import (
    audit,
    decide,
    deployments,
    engines,
    episode_reviews,
    episodes,
    feedback,
    interactions,
    models,
    observability,
    personas,
    privacy,
    reviews,
    rewards,
    speak,
    synthetic,
    training,
    variants,
    voice_data,
)

RESOURCES = (
    episodes,
    rewards,
    decide,
    speak,
    interactions,
    feedback,
    reviews,
    episode_reviews,
    training,
    synthetic,
    models,
    deployments,
    engines,
    variants,
    personas,
    voice_data,
    privacy,
    audit,
    observability,
)
"""In the order in which the documentation shows them."""
