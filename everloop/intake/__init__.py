"""Intake: logs from outside become episodes and signals, whole or not at all.

``open_bandit`` (real logs), ``example`` (a made-up log with a known truth) and ``files`` (a user's
own Parquet, CSV or JSONL, through a ``mapping``). ``conformity`` says whether a record fits a loop.
"""
