"""The simulator that policies learn in: journeys of synthetic people, batched."""

from rl.environment.journeys import JourneyBatch, Step
from rl.environment.source import JourneySource
from rl.environment.views import JourneyEnv, JourneyVectorEnv

__all__ = ["JourneyBatch", "JourneyEnv", "JourneySource", "JourneyVectorEnv", "Step"]
