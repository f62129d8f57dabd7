"""Policy learning: encoders, environment, PPO, export, runtime and off-policy estimates.

``rl.encoders`` and ``rl.runtime`` are light (no torch, no ray) and are what serving imports.
"""
