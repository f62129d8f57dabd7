"""The reward definition: from reward signals to one number in [-1, 1] for each episode.

``aggregate.sql`` is the definition and the only place where it is written down. ``definition`` turns
it into a statement, ``table`` runs it, ``figures`` and ``anomaly`` measure what came out, and
``runner`` is the stage that does both.
"""
