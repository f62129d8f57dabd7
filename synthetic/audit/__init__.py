"""Attacks on our own private releases: what an adversary with planted people could prove.

``bound`` turns guesses into a lower bound on epsilon, ``verdict`` judges a release by it and by the
noise that was found; ``fits`` plants people in one fit of a user model, ``repeated`` one person
in many releases.
"""
