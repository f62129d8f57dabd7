"""Telling people: an outbox, the channels that empty it, and the words.

Whoever notices something queues a ``Notice`` in its own database; ``outbox.deliver`` sends what is due
through every channel that the environment names, again and again until it arrives or is given up.
"""
