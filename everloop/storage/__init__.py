"""Adapters: where events, datasets, artefacts and state are kept. ``local`` is SQLite and files."""
