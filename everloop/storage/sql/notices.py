"""``NoticeStore`` in the workspace database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, RowMapping, and_, insert, or_, select, update
from sqlalchemy.sql import ColumnElement

from everloop.contracts.documents import from_json, to_json
from everloop.contracts.notifications import Notice, QueuedNotice
from everloop.storage.rollout_tables import notices
from everloop.storage.sql.engine import reading, writing

ALONE = timedelta(minutes=1)
"""How long whoever takes a notice has it to itself: longer than any channel's time-out."""
_QUEUED, _SENT, _GIVEN_UP = "queued", "sent", "given_up"


class SqlNoticeStore:
    """The outbox of one workspace.

    Args:
        engine: from ``open_workspace_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def queue(self, notice: Notice, channels: Sequence[str]) -> int:
        """See ``NoticeStore``."""
        table, new = notices.c, 0
        with writing(self._engine) as connection:
            known = set(
                connection.execute(
                    select(table.channel).where(
                        table.tenant == notice.tenant, table.notice_id == notice.notice_id
                    )
                ).scalars()
            )
            for channel in dict.fromkeys(channels):
                if channel in known:
                    continue
                connection.execute(
                    insert(notices).values(
                        tenant=notice.tenant,
                        notice_id=notice.notice_id,
                        channel=channel,
                        kind=notice.kind.value,
                        loop=notice.loop,
                        document=json.loads(to_json(notice)),
                        state=_QUEUED,
                        attempts=0,
                        queued_at=notice.at,
                        next_attempt_at=notice.at,
                        sent_at=None,
                        last_error="",
                    )
                )
                new += 1
        return new

    def due(self, now: datetime, limit: int = 20) -> tuple[QueuedNotice, ...]:
        """See ``NoticeStore``."""
        table = notices.c
        waiting = and_(
            table.state == _QUEUED,
            or_(table.next_attempt_at.is_(None), table.next_attempt_at <= now),
        )
        query = (
            select(notices)
            .where(waiting)
            .order_by(table.queued_at, table.notice_id, table.channel)
            .limit(limit)
        )
        with reading(self._engine) as connection:  # mostly there is nothing to exclude others for
            if connection.execute(query).first() is None:
                return ()
        with writing(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
            for row in rows:
                mine = (
                    table.tenant == row["tenant"],
                    *_key(row["notice_id"], row["channel"]),
                )
                connection.execute(update(notices).where(*mine).values(next_attempt_at=now + ALONE))
            return tuple(_queued(row) for row in rows)

    def sent(self, notice_id: str, channel: str, at: datetime) -> None:
        """See ``NoticeStore``."""
        self._settle(notice_id, channel, {"state": _SENT, "sent_at": at, "last_error": ""})

    def failed(self, notice_id: str, channel: str, error: str, again_at: datetime | None) -> None:
        """See ``NoticeStore``."""
        state = _GIVEN_UP if again_at is None else _QUEUED
        values = {"state": state, "next_attempt_at": again_at, "last_error": error[:500]}
        self._settle(notice_id, channel, values)

    def queued(self, limit: int = 100, tenant: str = "default") -> tuple[QueuedNotice, ...]:
        """See ``NoticeStore``."""
        table = notices.c
        query = (
            select(notices)
            .where(table.tenant == tenant)
            .order_by(table.queued_at.desc(), table.notice_id, table.channel)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return tuple(_queued(row) for row in connection.execute(query).mappings())

    def _settle(self, notice_id: str, channel: str, values: dict[str, Any]) -> None:
        mine = (*_key(notice_id, channel), notices.c.state != _SENT)
        counted = {**values, "attempts": notices.c.attempts + 1}
        with writing(self._engine) as connection:
            connection.execute(update(notices).where(*mine).values(counted))


def _key(notice_id: str, channel: str) -> tuple[ColumnElement[bool], ...]:
    """Notice ids are UUIDs made of tenant and key, so that none is of two tenants."""
    return (notices.c.notice_id == notice_id, notices.c.channel == channel)


def _queued(row: RowMapping) -> QueuedNotice:
    return QueuedNotice(
        notice_id=row["notice_id"],
        channel=row["channel"],
        notice=from_json(Notice, json.dumps(row["document"]).encode()),
        state=row["state"],
        attempts=row["attempts"],
        last_error=row["last_error"],
        next_attempt_at=row["next_attempt_at"],
        sent_at=row["sent_at"],
    )
