"""Context snapshots as arrays: every dimension within [-1, 1] from public bounds alone.

``layout(spec)`` says which dimension is what, ``encode_context`` encodes snapshots (training and
serving call the same code), ``encode`` a whole dataset version with its rewards.
"""

from rl.encoders.context import ContextEncoder, encode_context, layout
from rl.encoders.dataset import encode, in_holdout
from rl.encoders.projection import public_projection

__all__ = [
    "ContextEncoder",
    "encode",
    "encode_context",
    "in_holdout",
    "layout",
    "public_projection",
]
