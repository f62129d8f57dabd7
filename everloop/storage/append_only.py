"""Tables whose rows are never changed: the database itself refuses."""

from __future__ import annotations


def append_only_triggers(table: str, dialect: str) -> tuple[str, ...]:
    """Statements after which rows of ``table`` can be neither updated nor deleted.

    Args:
        table: name of an existing table.
        dialect: SQLAlchemy's name of the database, ``sqlite`` or ``postgresql``.
    """
    if dialect == "sqlite":
        return tuple(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            for verb in ("UPDATE", "DELETE")
        )
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
