"""Honest people and machines that the rules were made with. Those of ``bench/abuse_*.py`` were not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random

from bench.abuse_replay import Session
from bench.abuse_senders import Sender, said, sender
from everloop.contracts.episodes import Json
from everloop.contracts.feedback import FeedbackType as Kind
from everloop.contracts.feedback import TargetElement

Maker = Callable[[Random], Session]
CATEGORIES = ("too_formal", "too_long", "nailed_it", "cold", "wrong", "just_right")


def honest_length(random: Random) -> int:
    """Most people give little, some give a lot."""
    return min(80, 1 + int(random.expovariate(1 / 9)))


def taste(random: Random) -> Callable[[Kind], Json]:
    """What one person says: always the same, mostly good, mostly bad, or as it comes."""
    habit = random.choices(("always", "glad", "grumpy", "mixed"), (2, 5, 1, 3))[0]
    ratings = {
        "always": [5],
        "glad": [5, 5, 5, 4, 4, 3],
        "grumpy": [1, 1, 2, 2, 3],
        "mixed": [1, 2, 3, 4, 5, 5],
    }[habit]
    up = {"always": 1.0, "glad": 0.9, "grumpy": 0.25, "mixed": 0.6}[habit]

    ways: Mapping[Kind, Callable[[], Json]] = {
        Kind.RATING: lambda: random.choice(ratings),
        Kind.THUMB: lambda: random.random() < up,
        Kind.CATEGORICAL_CHOICE: lambda: random.choice(CATEGORIES),
        Kind.COMPARISON: lambda: {"winner": random.choice("aab")},
        Kind.FREE_TEXT: lambda: random.choice(
            ("thanks", "ok", said(random, random.randint(3, 30)))
        ),
        Kind.CORRECTION: lambda: said(random, random.randint(5, 30)),
        Kind.SCROLL: lambda: round(random.betavariate(3, 2), 2),
    }

    def value(kind: Kind) -> Json:
        return ways[kind]() if kind in ways else True

    return value


def talker(random: Random) -> Session:
    """Reads an answer, thinks, says what they think of it; now and then takes a break."""
    person = sender(random)
    value = taste(random)
    kinds = random.choice(
        ((Kind.RATING,), (Kind.THUMB,), (Kind.THUMB, Kind.FREE_TEXT, Kind.CORRECTION))
    )
    think, spread = random.uniform(1.0, 12.0), random.uniform(0.4, 0.9)
    reads, typing = random.uniform(0.2, 1.0), random.uniform(3, 9)
    for _ in range(honest_length(random)):
        output = person.output()
        kind = random.choice(kinds)
        what = value(kind)
        person.clock.wait(reads * output[2] / random.uniform(20, 60) + 0.6)
        person.clock.wait(think * random.lognormvariate(0, spread))
        if isinstance(what, str):
            person.clock.wait(len(what) / typing)
        person.give(output, kind, what)
        person.clock.wait(random.lognormvariate(2.0, 0.8))
        if random.random() < 0.05:
            person.clock.wait(random.uniform(120, 3600))
    return person.session("talker")


def skewed(random: Random) -> Session:
    """A talker whose device's clock is wrong, by minutes or by a time zone."""
    person = sender(random)
    person.clock.offset_s = random.choice((-7200, -600, -90, -20, 20, 90, 600, 3600))
    value = taste(random)
    for _ in range(honest_length(random)):
        output = person.output()
        person.clock.wait(output[2] / random.uniform(25, 80) + random.lognormvariate(1.0, 0.7))
        person.give(output, Kind.THUMB, value(Kind.THUMB))
        person.clock.wait(random.lognormvariate(2.5, 0.8))
    return person.session("skewed")


def list_reviewer(random: Random) -> Session:
    """Goes down a list of yesterday's answers, fast, many in a row."""
    person = sender(random)
    value = taste(random)
    kind = random.choice((Kind.THUMB, Kind.RATING))
    outputs = [person.output() for _ in range(random.randint(10, 60))]
    person.clock.wait(random.uniform(30, 40_000))
    tempo, spread = random.uniform(1.3, 5.0), random.uniform(0.38, 0.7)
    for output in outputs:
        person.clock.wait(max(0.35, tempo * random.lognormvariate(0, spread)))
        person.give(output, kind, value(kind))
        if random.random() < 0.04:
            person.clock.wait(random.uniform(8, 60))
    return person.session("list_reviewer")


def fast_clicker(random: Random) -> Session:
    """Taps a thumb a second after each answer, without reading it all; often twice."""
    person = sender(random)
    value = taste(random)
    tempo = random.uniform(1.0, 2.0)
    for _ in range(random.randint(5, 40)):
        output = person.output()
        person.clock.wait(max(0.4, tempo * random.lognormvariate(0, 0.45)))
        person.give(output, Kind.THUMB, value(Kind.THUMB))
        if random.random() < 0.03:
            person.clock.wait(random.uniform(0.15, 0.4))
            person.give(output, Kind.THUMB, value(Kind.THUMB))
        person.clock.wait(random.lognormvariate(0.5, 0.9))
    return person.session("fast_clicker")


def form_filler(random: Random) -> Session:
    """Sends a form: rating, categories and a text on one answer at the same moment."""
    person = sender(random)
    value = taste(random)
    for _ in range(random.randint(1, 12)):
        output = person.output()
        text = said(random, random.randint(4, 20))
        person.clock.wait(output[2] / 40 + len(text) / 6 + random.lognormvariate(1.5, 0.6))
        person.give(output, Kind.RATING, value(Kind.RATING))
        person.clock.wait(0.02)
        for category in random.sample(CATEGORIES, random.randint(0, 2)):
            person.give(output, Kind.CATEGORICAL_CHOICE, category)
        person.give(output, Kind.FREE_TEXT, text, target=TargetElement.SPECIFIC_SENTENCE)
        person.clock.wait(random.lognormvariate(3, 1))
    return person.session("form_filler")


def once(random: Random) -> Session:
    """Gives one feedback and never again."""
    person = sender(random, {} if random.random() < 0.2 else None)
    output = person.output()
    person.clock.wait(random.lognormvariate(1.5, 1.0) + 0.5)
    kind = random.choice((Kind.THUMB, Kind.RATING, Kind.CLICK, Kind.CONVERSION))
    person.give(output, kind, taste(random)(kind))
    return person.session("once")


def offline(random: Random) -> Session:
    """Gave feedback on a train; the client delivers it at once when it has a network again."""
    person = sender(random)
    value = taste(random)
    given = []
    for _ in range(honest_length(random) + 2):
        output = person.output()
        person.clock.wait(output[2] / 50 + random.lognormvariate(1.5, 0.6))
        given.append((output, person.clock.claimed()))
        person.clock.wait(random.lognormvariate(2.5, 0.9))
    person.clock.wait(random.uniform(5, 7200))
    together = random.random() < 0.5
    for output, claimed in given:
        if not together:
            person.clock.wait(random.uniform(0.03, 0.5))
        person.give(
            output, Kind.THUMB, value(Kind.THUMB), claimed=claimed, arrival=person.clock.now
        )
    return person.session("offline")


def browser(random: Random) -> Session:
    """Looks and clicks: the client measures scrolling and dwelling, some of it by a timer."""
    person = sender(random)
    for _ in range(random.randint(2, 15)):
        output = person.output()
        shown = person.clock.now
        person.clock.wait(random.lognormvariate(0.5, 0.6) + 0.4)
        for depth in (0.25, 0.5, 0.75, 1.0)[: random.randint(0, 4)]:
            person.give(output, Kind.SCROLL, depth)
            person.clock.wait(random.lognormvariate(-0.5, 0.8))
        if random.random() < 0.4:
            person.clock.wait(random.lognormvariate(0.8, 0.7))
            person.give(output, Kind.CLICK, True)
        person.clock.wait(random.lognormvariate(1.5, 1.0))
        person.give(output, Kind.DWELL, (person.clock.now - shown).total_seconds())
        person.clock.wait(random.uniform(0.2, 2))
    return person.session("browser")


def changer(random: Random) -> Session:
    """Changes their mind, and once the device."""
    person = sender(random)
    value = taste(random)
    for index in range(random.randint(2, 12)):
        output = person.output()
        person.clock.wait(output[2] / 40 + random.lognormvariate(1.2, 0.6))
        person.give(output, Kind.RATING, value(Kind.RATING))
        if random.random() < 0.3:
            person.clock.wait(random.lognormvariate(0.8, 0.5))
            person.give(output, Kind.RATING, value(Kind.RATING))
        if index == 4 and random.random() < 0.5:
            person.client = dict(sender(random).client)
        person.clock.wait(random.lognormvariate(2.5, 0.8))
    return person.session("changer")


HONEST: Mapping[Maker, float] = {
    talker: 8,
    skewed: 2,
    list_reviewer: 2,
    fast_clicker: 2,
    form_filler: 2,
    once: 10,
    offline: 2,
    browser: 4,
    changer: 2,
}
"""Makers and how common they are."""


def _machine(random: Random, client: dict[str, Json] | None = None) -> tuple[Sender, int]:
    return sender(random, client), random.randint(8, 60)


def rapid_fire(random: Random) -> Session:
    """Several a second."""
    bot, n = _machine(random)
    value = random.choice((5, 1, True))
    for _ in range(n):
        output = bot.output()
        bot.clock.wait(random.uniform(0.05, 0.7))
        bot.give(output, Kind.THUMB if value is True else Kind.RATING, value)
    return bot.session("rapid_fire")


def metronome(random: Random) -> Session:
    """One every few seconds, to some percent."""
    bot, n = _machine(random)
    period = random.uniform(1.5, 30)
    for _ in range(n):
        output = bot.output()
        bot.clock.wait(period * random.gauss(1, 0.04))
        bot.give(output, Kind.RATING, random.choice((5, 5, 4)))
    return bot.session("metronome")


def instant(random: Random) -> Session:
    """Answers as the output appears, in its own good time."""
    bot, n = _machine(random)
    for _ in range(n):
        output = bot.output()
        bot.clock.wait(random.uniform(-4, 0.25))
        bot.give(output, Kind.RATING, random.randint(1, 5))
        bot.clock.wait(5 + random.lognormvariate(2, 0.7))
    return bot.session("instant")


def naked_script(random: Random) -> Session:
    """A library that names itself, at a person's speed."""
    agents = (
        "python-requests/2.32.3",
        "curl/8.5.0",
        "Scrapy/2.11",
        "Mozilla/5.0 HeadlessChrome/131.0",
    )
    bot, n = _machine(random, {"user_agent": random.choice(agents)})
    for _ in range(n):
        output = bot.output()
        bot.clock.wait(random.lognormvariate(2, 0.7))
        bot.give(output, Kind.THUMB, True)
    return bot.session("naked_script")


def rotator(random: Random) -> Session:
    """Another client every time."""
    bot, n = _machine(random)
    for index in range(n):
        output = bot.output()
        bot.client = dict(sender(random).client)
        bot.client["user_agent"] = f"Mozilla/5.0 (agent-{'abcdefgh'[index % 8]}) Gecko Firefox"
        bot.clock.wait(random.lognormvariate(1.5, 0.6))
        bot.give(output, Kind.RATING, 5)
    return bot.session("rotator")


def dwell_inflater(random: Random) -> Session:
    """Claims to have looked for longer than the output exists."""
    bot, n = _machine(random)
    for _ in range(n):
        output = bot.output()
        bot.clock.wait(random.uniform(1, 20))
        bot.give(output, Kind.DWELL, random.uniform(120, 900))
    return bot.session("dwell_inflater")


def text_stuffer(random: Random) -> Session:
    """One text with a changing number."""
    bot, n = _machine(random)
    text = said(random, 12)
    for _ in range(n):
        output = bot.output()
        bot.clock.wait(random.lognormvariate(2.5, 0.5))
        bot.give(output, Kind.FREE_TEXT, f"{text} {random.randint(1, 9999)}")
    return bot.session("text_stuffer")


def backdater(random: Random) -> Session:
    """Sends fast and claims a person's times, some of them in the future."""
    bot, n = _machine(random)
    claimed = bot.clock.now
    for _ in range(n):
        output = bot.output()
        bot.clock.wait(random.uniform(0.5, 1.5))
        claimed += timedelta(seconds=random.lognormvariate(2, 0.6))
        bot.give(output, Kind.RATING, 1, claimed=claimed)
    return bot.session("backdater")


MACHINES: tuple[Maker, ...] = (
    rapid_fire,
    metronome,
    instant,
    naked_script,
    rotator,
    dwell_inflater,
    text_stuffer,
    backdater,
)
