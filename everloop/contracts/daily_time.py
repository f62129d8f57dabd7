"""A time of day in one zone as a cron expression of another, and on which days the two drift apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from everloop.contracts.errors import ShouldFixArgument

_TIME = re.compile(r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)")
_CRON = re.compile(r"0 (?P<minute>\d{1,2}) (?P<hour>\d{1,2}) \* \* \*")
YEAR = 366


@dataclass(frozen=True, slots=True)
class Drift:
    """From ``day`` on (a day in the asked zone), runs start at ``local`` there instead of as asked."""

    day: date
    local: time


@dataclass(frozen=True, slots=True)
class DailyTime:
    """Every day at a time of day.

    Attributes:
        at: the time of day, whole minutes.
        zone: the zone that it is meant in.
        cron_zone: the zone that the scheduler reads its expressions in.
    """

    at: time
    zone: str = "UTC"
    cron_zone: str = "UTC"

    def __post_init__(self) -> None:
        for name in (self.zone, self.cron_zone):
            if name not in available_timezones():
                raise ShouldFixArgument(
                    f"{name!r} is no time zone.", "Give one such as UTC or Europe/Berlin."
                )
        if self.at.second or self.at.microsecond or self.at.tzinfo:
            raise ShouldFixArgument(
                f"{self.at} is no time of day in whole minutes.", "Give it as HH:MM."
            )

    @classmethod
    def read(cls, text: str, zone: str = "UTC", cron_zone: str = "UTC") -> DailyTime:
        """``03:00``; ``ShouldFixArgument`` for what is no time of day or no zone."""
        found = _TIME.fullmatch(text)
        if found is None:
            raise ShouldFixArgument(
                f"{text!r} is no time of day.", "Give it as HH:MM, 00:00 to 23:59."
            )
        return cls(time(int(found["hour"]), int(found["minute"])), zone, cron_zone)

    def cron(self, on: date) -> str:
        """Six fields, seconds first, in the scheduler's zone, right for the offsets of a day."""
        there = self._moment(on).astimezone(ZoneInfo(self.cron_zone))
        return f"0 {there.minute} {there.hour} * * *"

    def runs(self, cron: str, first: date, days: int) -> Iterator[datetime]:
        """When that expression starts runs on the scheduler's days from ``first`` on, in the asked zone."""
        hour, minute = fields_of(cron)
        zone = ZoneInfo(self.cron_zone)
        for offset in range(days):
            day = first + timedelta(days=offset)
            moment = datetime.combine(day, time(hour, minute), zone)
            if _exists(moment):
                yield moment.astimezone(ZoneInfo(self.zone))

    def drifts(self, on: date, days: int = YEAR) -> tuple[Drift, ...]:
        """The days of the coming year on which the start, as people's clocks show it, moves."""
        found: list[Drift] = []
        known = self.at
        for moment in self.runs(self.cron(on), on, days):
            local = moment.time().replace(tzinfo=None)
            if local != known:
                found.append(Drift(moment.date(), local))
                known = local
        return tuple(found)

    def left_out(self, on: date, days: int = YEAR) -> tuple[date, ...]:
        """Days of the scheduler on which its clock jumps over the time: nothing starts on them."""
        hour, minute = fields_of(self.cron(on))
        zone = ZoneInfo(self.cron_zone)
        moments = (
            datetime.combine(on + timedelta(days=offset), time(hour, minute), zone)
            for offset in range(days)
        )
        return tuple(moment.date() for moment in moments if not _exists(moment))

    def _moment(self, on: date) -> datetime:
        return datetime.combine(on, self.at, ZoneInfo(self.zone))


def fields_of(cron: str) -> tuple[int, int]:
    """Hour and minute of a daily six-field expression; ``ShouldFixArgument`` for another one."""
    found = _CRON.fullmatch(cron)
    hour, minute = (int(found["hour"]), int(found["minute"])) if found else (24, 60)
    if hour > 23 or minute > 59:
        raise ShouldFixArgument(
            f"{cron!r} is no daily schedule.", "Make the schedule with everloop schedule create."
        )
    return hour, minute


def _exists(moment: datetime) -> bool:
    """False for a local time that a clock put forward jumps over."""
    back = moment.astimezone(UTC).astimezone(moment.tzinfo)
    return back.replace(tzinfo=None) == moment.replace(tzinfo=None)
