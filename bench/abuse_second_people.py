"""A second set that the rules of ``everloop.feedback.quality`` were corrected by, after a trial."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from bench.abuse_people import Maker
from bench.abuse_replay import Session
from bench.abuse_senders import DEVICES, said, sender
from everloop.contracts.feedback import FeedbackType as Kind
from everloop.contracts.feedback import TargetElement


def _few(random: Random, mean: float, most: int = 60) -> int:
    return min(most, 1 + int(random.expovariate(1 / mean)))


def quick_thumbs(random: Random) -> Session:
    """A teenager on a phone: a tap within two seconds, most of the time."""
    person = sender(random, dict(random.choice(DEVICES[2:5])))
    tempo = random.uniform(1.1, 1.9)
    for _ in range(_few(random, 14, 50)):
        output = person.output()
        person.clock.wait(0.35 + tempo * random.lognormvariate(-0.2, 0.6))
        person.give(output, Kind.THUMB, random.random() < 0.85)
        person.clock.wait(random.lognormvariate(1.2, 1.0))
    return person.session("quick_thumbs")


def proofreader(random: Random) -> Session:
    """Marks several sentences of each answer, one after the other."""
    person = sender(random, dict(DEVICES[0]))
    for _ in range(_few(random, 4, 15)):
        output = person.output()
        person.clock.wait(output[2] / random.uniform(18, 30))
        for _ in range(random.randint(1, 5)):
            text = said(random, random.randint(3, 12))
            person.clock.wait(random.lognormvariate(1.5, 0.6) + len(text) / 6)
            person.give(output, Kind.CORRECTION, text, target=TargetElement.SPECIFIC_SENTENCE)
        person.clock.wait(random.lognormvariate(2, 0.8))
    return person.session("proofreader")


def dictating(random: Random) -> Session:
    """Speaks comments: long texts, faster than typing."""
    person = sender(random, dict(DEVICES[2]))
    for _ in range(_few(random, 5, 20)):
        output = person.output()
        text = said(random, random.randint(10, 40))
        person.clock.wait(output[2] / 40 + 1.5 + len(text) / random.uniform(12, 18))
        person.give(output, Kind.FREE_TEXT, text)
        person.clock.wait(random.lognormvariate(2.5, 0.8))
    return person.session("dictating")


def night_train(random: Random) -> Session:
    """Offline for hours, with a clock that is wrong; delivered newest first."""
    person = sender(random, dict(DEVICES[5]))
    person.clock.offset_s = random.choice((-1800, -30, 0, 0, 3))
    given = []
    for _ in range(_few(random, 8) + 1):
        output = person.output()
        person.clock.wait(output[2] / 35 + random.lognormvariate(1.2, 0.7))
        given.append((output, person.clock.claimed()))
        person.clock.wait(random.lognormvariate(3, 1))
    person.clock.wait(random.uniform(60, 20_000))
    for output, claimed in reversed(given):
        person.clock.wait(random.uniform(0.02, 0.3))
        person.give(output, Kind.RATING, random.choice((5, 4, 3)), claimed=claimed)
    return person.session("night_train")


def critic(random: Random) -> Session:
    """One star for everything, slowly."""
    person = sender(random)
    for _ in range(_few(random, 10, 50)):
        output = person.output()
        person.clock.wait(output[2] / 30 + random.lognormvariate(1.5, 0.6))
        person.give(output, Kind.RATING, 1)
        person.clock.wait(random.lognormvariate(2.5, 0.7))
    return person.session("critic")


def screen_reader(random: Random) -> Session:
    """Has it read aloud at an even pace, then answers by keyboard; tells little of the client."""
    person = sender(random, {"device_type": "desktop"} if random.random() < 0.5 else {})
    speed = random.uniform(14, 20)
    for _ in range(_few(random, 6, 30)):
        output = person.output()
        person.clock.wait(output[2] / speed + random.lognormvariate(1.0, 0.5))
        person.give(output, Kind.THUMB, random.random() < 0.7)
        person.clock.wait(random.lognormvariate(2.3, 0.7))
    return person.session("screen_reader")


def shopper(random: Random) -> Session:
    """Clicks, sometimes twice; buys now and then."""
    person = sender(random)
    for _ in range(_few(random, 8, 40)):
        output = person.output()
        person.clock.wait(0.3 + random.lognormvariate(0.8, 0.8))
        person.give(output, Kind.CLICK, True)
        if random.random() < 0.2:
            person.clock.wait(random.uniform(0.12, 0.5))
            person.give(output, Kind.CLICK, True)
        if random.random() < 0.15:
            person.clock.wait(random.lognormvariate(3, 0.8))
            person.give(output, Kind.CONVERSION, True)
        person.clock.wait(random.lognormvariate(1, 1))
    return person.session("shopper")


def visitor(random: Random) -> Session:
    """One feedback, minutes or days after the output."""
    person = sender(random)
    output = person.output()
    person.clock.wait(random.lognormvariate(4, 3) + 0.6)
    person.give(output, Kind.RATING, random.randint(1, 5))
    return person.session("visitor")


PEOPLE: Mapping[Maker, int] = {
    quick_thumbs: 4,
    proofreader: 3,
    dictating: 3,
    night_train: 2,
    critic: 3,
    screen_reader: 3,
    shopper: 4,
    visitor: 8,
}
"""Makers and how many sessions of each there are in thirty."""
