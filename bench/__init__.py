"""Benchmarks, run by name (``python -m bench.rewards``); no product code imports them.

``record`` holds what they share: how a process is measured and what the last line of stdout says.
"""
