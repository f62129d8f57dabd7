"""Synthetic people on this machine: asked for, made in chunks that survive a kill, and read again."""
