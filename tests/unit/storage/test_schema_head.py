"""The engine's idea of the newest schema is the migrations' own."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from everloop.storage.sql import engine


def test_the_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(engine.__file__).parents[1] / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == engine.SCHEMA_HEAD
