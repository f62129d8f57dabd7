"""Frozen records, ports and errors: what everloop's packages say to one another.

Nothing of ours is imported here. A field is never removed and never changes its meaning; a new
field is optional, with a default that reproduces the old behaviour. ``SCHEMA_VERSION`` rises with
every new field, and readers accept every version up to their own.
"""
