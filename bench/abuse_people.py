"""More people that the rules of ``everloop.feedback.quality`` were made with, after a first trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random

from bench.abuse_replay import Session
from bench.abuse_senders import DEVICES, Sender, said, sender
from everloop.contracts.episodes import Json
from everloop.contracts.feedback import FeedbackType as Kind
from everloop.contracts.feedback import TargetElement

Maker = Callable[[Random], Session]


def _few(random: Random, mean: float, most: int = 60) -> int:
    return min(most, 1 + int(random.expovariate(1 / mean)))


def _read(person: Sender, output: tuple[str, object, int], think: float, spread: float) -> None:
    pace = person.random.uniform(15, 60)
    person.clock.wait(output[2] / pace + think * person.random.lognormvariate(0, spread))


def annotator(random: Random) -> Session:
    """Judges for a living with two keys: quick, practised, all day."""
    person = sender(random, dict(DEVICES[1]))
    tempo, up = random.uniform(1.4, 4.0), random.uniform(0.3, 0.8)
    for _ in range(random.randint(20, 80)):
        output = person.output()
        person.clock.wait(0.4 + tempo * random.lognormvariate(0, 0.55))
        person.give(output, Kind.THUMB, random.random() < up)
        if random.random() < 0.02:
            person.clock.wait(random.uniform(20, 600))
    return person.session("annotator")


def set_phrase(random: Random) -> Session:
    """Corrects the same thing again with the same words."""
    person = sender(random)
    phrase = "Please say du to me instead of Sie, we are all on first name terms here."
    for _ in range(_few(random, 4, 15)):
        output = person.output()
        _read(person, output, 3, 0.6)
        repeats = random.random() < 0.35
        text = phrase if repeats else said(random, random.randint(4, 15))
        person.clock.wait(random.uniform(1, 2) if repeats else len(text) / 6)
        person.give(output, Kind.CORRECTION, text)
        person.clock.wait(random.lognormvariate(3, 0.8))
    return person.session("set_phrase")


def five_stars(random: Random) -> Session:
    """Loves everything, always, within two seconds or so."""
    person = sender(random)
    for _ in range(_few(random, 15, 50)):
        output = person.output()
        person.clock.wait(0.5 + random.lognormvariate(0.6, 0.6))
        person.give(output, Kind.RATING, 5)
        person.clock.wait(random.lognormvariate(1.5, 0.9))
    return person.session("five_stars")


def voice_tweaker(random: Random) -> Session:
    """Moves a slider until the voice is right."""
    person = sender(random, dict(DEVICES[3]))
    for _ in range(_few(random, 2, 5)):
        output = person.output()
        person.clock.wait(random.lognormvariate(1.5, 0.5))
        for _ in range(random.randint(1, 8)):
            person.clock.wait(0.4 + random.lognormvariate(0.2, 0.6))
            value: Json = {"pitch": round(random.uniform(-1, 1), 2)}
            person.give(output, Kind.VOICE_ADJUSTMENT, value, target=TargetElement.VOICE)
        person.clock.wait(random.lognormvariate(2, 0.7))
    return person.session("voice_tweaker")


def commuter(random: Random) -> Session:
    """A network that stalls: things arrive late, together and out of order."""
    person = sender(random, dict(random.choice(DEVICES[2:6])))
    for _ in range(_few(random, 10)):
        output = person.output()
        _read(person, output, 2.5, 0.7)
        late = random.choice((0.2, 0.5, 1.0, 6.0, 30.0)) * random.lognormvariate(0, 0.5)
        claimed = person.clock.claimed()
        person.give(
            output,
            Kind.THUMB,
            random.random() < 0.8,
            claimed=claimed,
            arrival=person.clock.now + timedelta(seconds=late),
        )
        person.clock.wait(random.lognormvariate(1.8, 0.8))
    return person.session("commuter")


def private_browser(random: Random) -> Session:
    """Tells nothing of the client and rounds its clock to the minute."""
    person = sender(random, {})
    for _ in range(_few(random, 8)):
        output = person.output()
        _read(person, output, 3, 0.8)
        minute = person.clock.now.replace(second=0, microsecond=0)
        person.give(output, Kind.RATING, random.choice((5, 4, 2, 1)), claimed=minute)
        person.clock.wait(random.lognormvariate(2, 0.9))
    return person.session("private_browser")


def many_tabs(random: Random) -> Session:
    """Opens several outputs, reads across them, judges them as it suits."""
    person = sender(random, dict(DEVICES[0]))
    for _ in range(_few(random, 2, 6)):
        opened = [person.output() for _ in range(random.randint(2, 6))]
        shown = person.clock.now
        random.shuffle(opened)
        for output in opened:
            person.clock.wait(random.lognormvariate(1.6, 0.9))
            person.give(output, Kind.RATING, random.choice((3, 4, 5)))
        person.clock.wait(random.lognormvariate(2, 0.9))
        for output in opened:
            person.give(output, Kind.DWELL, (person.clock.now - shown).total_seconds())
            person.clock.wait(0.01)
    return person.session("many_tabs")


def survey_taker(random: Random) -> Session:
    """Answers how much they trust it, and sometimes a comparison."""
    person = sender(random)
    for _ in range(_few(random, 1.5, 6)):
        output = person.output()
        person.clock.wait(random.lognormvariate(1.2, 0.6))
        person.give(output, Kind.TRUST_SURVEY, random.choice((3, 4, 5)))
        if random.random() < 0.5:
            person.clock.wait(random.lognormvariate(2, 0.6))
            person.give(output, Kind.COMPARISON, {"winner": random.choice("ab")})
        person.clock.wait(random.lognormvariate(4, 1))
    return person.session("survey_taker")


def slow_clock(random: Random) -> Session:
    """An old tablet that is minutes to a day behind and loses a second an hour."""
    person = sender(random, dict(DEVICES[7]))
    person.clock.offset_s = -random.choice((45, 240, 3600, 86_400))
    for _ in range(_few(random, 8)):
        output = person.output()
        _read(person, output, 6, 0.5)
        person.clock.offset_s -= 0.01
        person.give(output, Kind.CATEGORICAL_CHOICE, random.choice(("nailed_it", "too_long")))
        person.clock.wait(random.lognormvariate(3.5, 0.7))
    return person.session("slow_clock")


def first_look(random: Random) -> Session:
    """One quick tap on a short answer, and gone."""
    person = sender(random)
    output = person.output()
    person.clock.wait(0.45 + random.lognormvariate(-0.8, 0.6))
    person.give(output, random.choice((Kind.THUMB, Kind.CLICK)), True)
    return person.session("first_look")


PEOPLE: Mapping[Maker, int] = {
    annotator: 1,
    set_phrase: 2,
    five_stars: 2,
    voice_tweaker: 2,
    commuter: 4,
    private_browser: 3,
    many_tabs: 2,
    survey_taker: 4,
    slow_clock: 2,
    first_look: 8,
}
"""Makers and how many sessions of each there are in thirty."""
