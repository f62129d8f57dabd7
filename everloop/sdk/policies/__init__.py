"""Policies trained and tuned outside the graph, from a finished run's private releases."""
