"""Tables whose rows are never changed: the database itself refuses."""

from __future__ import annotations

from collections.abc import Sequence


def append_only_triggers(table: str, dialect: str, key: Sequence[str] = ()) -> tuple[str, ...]:
    """Statements after which rows of ``table`` can be neither updated nor deleted.

    Args:
        table: name of an existing table.
        dialect: SQLAlchemy's name of the database, ``sqlite`` or ``postgresql``.
        key: columns of the primary key, so that SQLite refuses ``INSERT OR REPLACE`` too: it deletes
            a row without asking the triggers of a delete.
    """
    if dialect == "sqlite":
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        triggers = [
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} {refuse}"
            for verb in ("UPDATE", "DELETE")
        ]
        if key:
            same = " AND ".join(f"{column} = NEW.{column}" for column in key)
            replaces = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608
            triggers.append(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} {replaces} {refuse}"
            )
        return tuple(triggers)
    function = (
        f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only' "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    trigger = (
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only()"
    )
    return function, trigger
