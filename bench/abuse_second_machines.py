"""A second set that the rules of ``everloop.feedback.quality`` were corrected by, after a trial."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from bench.abuse_machines import Campaign, Maker
from bench.abuse_senders import DEVICES, WORDS, Sender, said, sender
from everloop.contracts.feedback import FeedbackType as Kind


def _length(random: Random) -> int:
    return random.randint(12, 50)


def _alone(bot: Sender, kind: str) -> Campaign:
    return (bot.session(kind),)


def backlog_eater(random: Random) -> Campaign:
    """Answers a whole history in one loop over the network, as fast as answers return."""
    bot = sender(random)
    outputs = [bot.output() for _ in range(_length(random))]
    bot.clock.wait(random.uniform(600, 40_000))
    trip = random.uniform(0.08, 0.5)
    for output in outputs:
        bot.clock.wait(trip * random.lognormvariate(0, 0.4))
        bot.give(output, Kind.THUMB, False)
    return _alone(bot, "backlog_eater")


def two_speed_timer(random: Random) -> Campaign:
    """Alternates between two waits, each to some percent."""
    bot = sender(random)
    waits = (random.uniform(1, 3), random.uniform(5, 12))
    for index in range(_length(random)):
        output = bot.output()
        bot.clock.wait(waits[index % 2] * random.gauss(1, 0.002))
        bot.give(output, Kind.RATING, random.choice((1, 2)))
    return _alone(bot, "two_speed_timer")


def pretending_reader(random: Random) -> Campaign:
    """Waits a constant time per character of the output, and a constant more."""
    bot = sender(random)
    per_char, more = random.uniform(0.01, 0.04), random.uniform(0.5, 2)
    for _ in range(_length(random)):
        output = bot.output()
        bot.clock.wait(output[2] * per_char + more + random.uniform(0, 0.3))
        bot.give(output, Kind.RATING, random.choice((5, 4, 4, 3)))
    return _alone(bot, "pretending_reader")


def round_robin(random: Random) -> Campaign:
    """Goes through a list of values at a person's pace."""
    bot = sender(random)
    for index in range(random.randint(18, 60)):
        output = bot.output()
        bot.clock.wait(random.lognormvariate(2, 0.6) + 0.5)
        bot.give(output, Kind.RATING, (5, 4, 3)[index % 3])
    return _alone(bot, "round_robin")


def driven_browser(random: Random) -> Campaign:
    """A real browser that a program drives, and says so."""
    bot = sender(random, {**DEVICES[0], "webdriver": True})
    for _ in range(_length(random)):
        output = bot.output()
        bot.clock.wait(random.lognormvariate(1.8, 0.7))
        bot.give(output, Kind.THUMB, random.random() < 0.5)
    return _alone(bot, "driven_browser")


def fuzzer(random: Random) -> Campaign:
    """Values that no form offers, half a second to a second and a half apart."""
    bot = sender(random)
    for _ in range(_length(random)):
        output = bot.output()
        bot.clock.wait(random.uniform(0.5, 1.5))
        bot.give(output, Kind.RATING, random.choice((1, 5)), clamped=random.random() < 0.8)
    return _alone(bot, "fuzzer")


def link_spammer(random: Random) -> Campaign:
    """Another sentence each time, and a link."""
    bot = sender(random)
    for _ in range(_length(random)):
        output = bot.output()
        bot.clock.wait(random.lognormvariate(2.2, 0.5) + 3)
        place = "".join(random.choices("abcdefgh", k=6))
        bot.give(output, Kind.FREE_TEXT, f"{said(random, 6)} https://{place}.example/win")
    return _alone(bot, "link_spammer")


def essay_machine(random: Random) -> Campaign:
    """Long corrections within two seconds, all different."""
    bot = sender(random)
    for _ in range(_length(random)):
        output = bot.output()
        bot.clock.wait(random.uniform(0.6, 2.5))
        bot.give(output, Kind.CORRECTION, " ".join(random.choices(WORDS, k=60)))
        bot.clock.wait(random.lognormvariate(1, 0.8))
    return _alone(bot, "essay_machine")


def review_ring(random: Random) -> Campaign:
    """Thirty accounts on one client post one text once each."""
    client, text = dict(random.choice(DEVICES)), said(random, 14)
    ring = []
    for _ in range(30):
        bot = sender(random, client)
        bot.clock.now = bot.clock.now.replace(day=5, hour=12) + timedelta(
            seconds=random.uniform(0, 7200)
        )
        output = bot.output()
        bot.clock.wait(random.lognormvariate(3, 0.6))
        bot.give(output, Kind.FREE_TEXT, text)
        ring.append(bot.session("review_ring"))
    return tuple(ring)


def night_shift(random: Random) -> Campaign:
    """Two or three an hour, for days, without sleep."""
    bot = sender(random)
    for _ in range(random.randint(60, 120)):
        output = bot.output()
        bot.clock.wait(random.uniform(5, 60))
        bot.give(output, Kind.RATING, random.choice((5, 5, 4)))
        bot.clock.wait(min(5400.0, random.lognormvariate(7.1, 0.5)))
    return _alone(bot, "night_shift")


MACHINES: tuple[Maker, ...] = (
    backlog_eater,
    two_speed_timer,
    pretending_reader,
    round_robin,
    driven_browser,
    fuzzer,
    link_spammer,
    essay_machine,
    review_ring,
    night_shift,
)
