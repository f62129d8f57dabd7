"""Honest people that the rules of ``everloop.feedback.quality`` were not made with."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from bench.abuse_people import Maker
from bench.abuse_replay import Session
from bench.abuse_senders import DEVICES, said, sender
from everloop.contracts.feedback import FeedbackType as Kind


def _few(random: Random, mean: float, most: int = 60) -> int:
    return min(most, 1 + int(random.expovariate(1 / mean)))


def student(random: Random) -> Session:
    """Works through exercises: short answers, thumbs, long thinking between."""
    person = sender(random)
    for _ in range(_few(random, 12, 50)):
        output = person.output()
        person.clock.wait(random.gammavariate(2.5, 3.0) + 0.5)
        person.give(output, Kind.THUMB, random.random() < 0.7)
        person.clock.wait(random.gammavariate(2, 20))
    return person.session("student")


def catching_up(random: Random) -> Session:
    """Rates the week's answers in one go, a glance each."""
    person = sender(random, dict(random.choice(DEVICES)))
    outputs = [person.output() for _ in range(random.randint(8, 30))]
    person.clock.wait(random.uniform(86_400, 500_000))
    tempo = random.uniform(1.8, 6)
    for output in outputs:
        person.clock.wait(0.3 + tempo * random.gammavariate(3.5, 1 / 3.5))
        person.give(output, Kind.RATING, random.choice((5, 5, 4, 3, 2)))
    return person.session("catching_up")


def chatter(random: Random) -> Session:
    """Replies in words; the replies are read for their sentiment."""
    person = sender(random, dict(random.choice(DEVICES[2:6])))
    for _ in range(_few(random, 10, 60)):
        output = person.output()
        text = random.choice(("ok", "thanks!", "no", "why?", said(random, random.randint(2, 20))))
        person.clock.wait(output[2] / 35 + 0.5 + len(text) / random.uniform(4, 9))
        person.clock.wait(random.lognormvariate(0.5, 0.8))
        person.give(output, Kind.IMPLICIT_REPLY, text)
    return person.session("chatter")


def travel(random: Random) -> Session:
    """A phone that sets its clock to another time zone on the way."""
    person = sender(random, dict(DEVICES[4]))
    for index in range(_few(random, 8, 30)):
        output = person.output()
        person.clock.wait(output[2] / random.uniform(20, 50) + random.lognormvariate(1, 0.7))
        person.clock.offset_s = 3600.0 if index >= 3 else 0.0
        person.give(output, Kind.RATING, random.choice((5, 4, 2)))
        person.clock.wait(random.lognormvariate(2.5, 0.9))
    return person.session("travel")


def teacher(random: Random) -> Session:
    """Compares pairs all afternoon, careful and steady."""
    person = sender(random, dict(DEVICES[1]))
    for _ in range(_few(random, 20, 60)):
        output = person.output()
        person.clock.wait(random.lognormvariate(2.6, 0.45))
        person.give(output, Kind.COMPARISON, {"winner": random.choice("ab")})
        if random.random() < 0.06:
            person.clock.wait(random.uniform(30, 400))
    return person.session("teacher")


def passer_by(random: Random) -> Session:
    """Two taps at most, from a client that tells nothing."""
    person = sender(random, {})
    for _ in range(random.randint(1, 2)):
        output = person.output()
        person.clock.wait(random.lognormvariate(0.7, 0.8) + 0.4)
        person.give(output, Kind.THUMB, random.random() < 0.6)
    return person.session("passer_by")


PEOPLE: Mapping[Maker, int] = {
    student: 6,
    catching_up: 3,
    chatter: 6,
    travel: 3,
    teacher: 4,
    passer_by: 8,
}
"""Makers and how many sessions of each there are in thirty."""
