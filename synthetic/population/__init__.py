"""People with a known truth: a seeded population of the companion product.

Hidden types (``archetypes``) and moods (``state``) decide how people respond (``responses``) and what
becomes of them (``dynamics``); the product sees a wide, noisy image of it (``emission``) and imperfect
evidence (``evidence``). ``play`` goes from day to day, ``journeys`` makes whole logs, ``truth`` knows the
best policy and any policy's value (``solve``), ``rollouts`` the value of policies that see what the
product sees. On request the population misbehaves (``misbehaviour``). Nothing here has ever seen a
person.
"""

from synthetic.population.behaviour import (
    Policy,
    doing_nothing,
    logging_policy,
    neglecting,
    uniform_policy,
)
from synthetic.population.day import DayOfDecisions, Visitors
from synthetic.population.emission import WideContexts
from synthetic.population.misbehaviour import Bots, Misbehaviour, Poison, Season, Turn
from synthetic.population.play import Population
from synthetic.population.scripts import Script
from synthetic.population.spec import PopulationSpec
from synthetic.population.truth import PolicyValue, Truth

__all__ = [
    "Bots",
    "DayOfDecisions",
    "Misbehaviour",
    "Poison",
    "Policy",
    "PolicyValue",
    "Population",
    "PopulationSpec",
    "Script",
    "Season",
    "Truth",
    "Turn",
    "Visitors",
    "WideContexts",
    "doing_nothing",
    "logging_policy",
    "neglecting",
    "uniform_policy",
]
