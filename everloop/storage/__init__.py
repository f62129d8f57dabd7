"""Adapters: where events, datasets, artefacts and state are kept. ``sql`` is one schema on SQLite and
PostgreSQL, ``local`` is files on this machine."""
