"""``python -m bench.rewards``: the reward table by everloop, polars and pandas, from the same files."""
