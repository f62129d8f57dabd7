"""Synthetic people and how they respond, from private releases alone.

``user_model`` and ``profiles`` make a night's two releases through ``release`` (budget first, then
noise, then storage); ``private_fit`` is the mechanism, ``linear_user_model`` what is left outside the
trust boundary, ``quality`` compares it with held-out people inside.
"""
