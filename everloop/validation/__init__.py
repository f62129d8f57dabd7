"""Is a dataset version fit to learn from? Expectations in code, run by Great Expectations.

``facts`` measures a version in SQL, ``contexts`` looks into the context snapshots, ``expectations``
says what is expected, ``suite`` asks Great Expectations, ``page`` renders the answer.
"""
