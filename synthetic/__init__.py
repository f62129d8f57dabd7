"""Synthetic people and how they respond, from private releases alone.

``release`` is how a stage gets its release of a night: budget first, then ``noise``, then storage;
``people`` gathers episodes by person, the unit that is protected. ``user_model`` learns how people
respond, ``profiles`` who they are; ``journeys`` plays the one over the other, ``generation`` exports
people in any number. ``quality`` compares with held-out people, ``audit`` attacks what ships,
``population`` is a world whose truth is known.
"""
