"""What honest people and machines have in common: devices, outputs, texts and the clock of a session."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from bench.abuse_replay import Session, made_id
from everloop.contracts.episodes import Json
from everloop.contracts.feedback import FeedbackType, TargetElement
from everloop.feedback.quality_records import Incoming

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
DEVICES: tuple[dict[str, Json], ...] = (
    {
        "user_agent": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/131.0.0.0 Safari/537.36",
        "browser": "chrome",
        "device_type": "desktop",
    },
    {
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
        "browser": "firefox",
        "device_type": "desktop",
    },
    {
        "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
        "browser": "safari",
        "device_type": "mobile",
    },
    {
        "user_agent": f"Mozilla/5.0 (Linux; Android 14; CUBOT NOTE 50; wv) {_WEBKIT} Version/4.0 "
        "Chrome/130.0.6723.58 Mobile Safari/537.36",
        "device_type": "mobile",
    },
    {"user_agent": "Companion/4.2 okhttp/4.12.0", "device_type": "mobile"},
    {"user_agent": "Companion/4.2 CFNetwork/1568.200.51 Darwin/24.1.0"},
    {"browser": "samsung internet", "device_type": "mobile"},
    {"device_type": "tablet"},
)
_SPOKEN = (
    "the answer was too long and it missed what I asked about my sister please say it more warmly "
    "less formal next time this helped a lot thank you but the tone felt cold I wanted fewer words "
    "and one example that fits our school not a list of everything there is about sleep or food"
)
WORDS = tuple(_SPOKEN.split())


@dataclass(slots=True)
class Clock:
    """A session's clocks: ``now`` is true time, ``offset_s`` what the client's adds."""

    random: Random
    now: datetime
    offset_s: float = 0.0
    latency_s: float = 0.08

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def claimed(self) -> datetime:
        return self.now + timedelta(seconds=self.offset_s)

    def arrival(self) -> datetime:
        return self.now + timedelta(seconds=self.random.lognormvariate(0, 0.5) * self.latency_s)


@dataclass(slots=True)
class Sender:
    """Makes the feedback of one session."""

    random: Random
    clock: Clock
    client: dict[str, Json]
    sent: list[Incoming] = field(default_factory=list)

    def output(self) -> tuple[str, datetime, int]:
        """An output that is shown now: its id, moment and length in characters."""
        chars = max(20, round(self.random.lognormvariate(5.6, 0.8)))
        return made_id(self.random), self.clock.now, chars

    def give(
        self,
        output: tuple[str, datetime, int],
        kind: FeedbackType,
        value: Json,
        *,
        target: TargetElement = TargetElement.ENTIRE_RESPONSE,
        claimed: datetime | None = None,
        arrival: datetime | None = None,
        clamped: bool = False,
    ) -> None:
        log_id, shown, chars = output
        self.sent.append(
            Incoming(
                feedback_type=kind,
                value=value,
                received_at=arrival or self.clock.arrival(),
                claimed_at=claimed or self.clock.claimed(),
                shown_at=shown,
                output_chars=chars,
                log_id=log_id,
                target_element=target,
                clamped=clamped,
                client=self.client,
            )
        )

    def session(self, kind: str) -> Session:
        ordered = sorted(self.sent, key=lambda each: each.received_at or START)
        return Session(kind, tuple(ordered))


def sender(random: Random, client: dict[str, Json] | None = None) -> Sender:
    """A session that starts at a random moment of a week on a random device."""
    start = START + timedelta(seconds=random.uniform(0, 7 * 86_400))
    clock = Clock(random, start, 0.0, random.choice((0.03, 0.08, 0.3)))
    return Sender(random, clock, client if client is not None else dict(random.choice(DEVICES)))


def said(random: Random, words: int) -> str:
    """A text of that many words."""
    return " ".join(random.choices(WORDS, k=words))
