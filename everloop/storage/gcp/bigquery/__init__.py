"""BigQuery: a mirror of the log, a reader of it for extractions, and a place to run statements.

``tables`` declares what is mirrored, ``log_rows`` reads it from the workspace's database, ``mirror``
brings it over and keeps it the same, ``reader`` answers extractions, ``warehouse`` runs the reward
definition; ``jobs`` is the only module that talks to the service.
"""
