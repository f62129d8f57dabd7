"""Machines that the rules of ``everloop.feedback.quality`` were not made with."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from bench.abuse_machines import Campaign, Maker
from bench.abuse_senders import DEVICES, Sender, said, sender
from everloop.contracts.feedback import FeedbackType as Kind


def _alone(bot: Sender, kind: str) -> Campaign:
    return (bot.session(kind),)


def retry_storm(random: Random) -> Campaign:
    """Backs off: each wait is twice the last, to a minute, then from the start."""
    bot = sender(random)
    wait = 0.5
    for _ in range(random.randint(20, 50)):
        output = bot.output()
        bot.clock.wait(wait * random.uniform(0.98, 1.02))
        wait = 0.5 if wait >= 32 else wait * 2
        bot.give(output, Kind.RATING, random.choice((1, 2)))
    return _alone(bot, "retry_storm")


def gaussian_sleeper(random: Random) -> Campaign:
    """``sleep(gauss(5, 0.6))`` and a random value."""
    bot = sender(random)
    for _ in range(random.randint(12, 50)):
        output = bot.output()
        bot.clock.wait(max(0.1, random.gauss(5, 0.6)))
        bot.give(output, Kind.RATING, random.randint(1, 5))
    return _alone(bot, "gaussian_sleeper")


def parallel_workers(random: Random) -> Campaign:
    """Four workers in one session, each at random: outputs are answered several a second."""
    bot = sender(random)
    for _ in range(random.randint(20, 60)):
        output = bot.output()
        bot.clock.wait(random.expovariate(1 / 0.6))
        bot.give(output, Kind.THUMB, True)
    return _alone(bot, "parallel_workers")


def scroll_faker(random: Random) -> Campaign:
    """Claims to have scrolled to the end of output after output, four times a second."""
    bot = sender(random)
    for _ in range(random.randint(20, 60)):
        output = bot.output()
        bot.clock.wait(random.uniform(0.15, 0.4))
        bot.give(output, Kind.SCROLL, 1.0)
    return _alone(bot, "scroll_faker")


def slow_dwell_faker(random: Random) -> Campaign:
    """Reports an hour of dwelling on outputs of a minute ago."""
    bot = sender(random)
    for _ in range(random.randint(5, 25)):
        output = bot.output()
        bot.clock.wait(random.uniform(30, 90))
        bot.give(output, Kind.DWELL, 3600.0)
    return _alone(bot, "slow_dwell_faker")


def future_poster(random: Random) -> Campaign:
    """Sends every few seconds and dates each an hour further ahead."""
    bot = sender(random)
    for index in range(random.randint(12, 40)):
        output = bot.output()
        bot.clock.wait(random.lognormvariate(1, 0.5))
        claimed = bot.clock.now + timedelta(hours=index)
        bot.give(output, Kind.RATING, 5, claimed=claimed)
    return _alone(bot, "future_poster")


def agent_shuffler(random: Random) -> Campaign:
    """A real client from a list of five for each request."""
    bot = sender(random)
    for _ in range(random.randint(12, 40)):
        output = bot.output()
        bot.client = dict(random.choice(DEVICES[:5]))
        bot.clock.wait(random.lognormvariate(2, 0.6))
        bot.give(output, Kind.THUMB, True)
    return _alone(bot, "agent_shuffler")


def parrot(random: Random) -> Campaign:
    """One long comment on everything."""
    bot = sender(random)
    text = said(random, 18)
    for _ in range(random.randint(12, 40)):
        output = bot.output()
        bot.clock.wait(random.lognormvariate(3, 0.6) + 4)
        bot.give(output, Kind.FREE_TEXT, text)
    return _alone(bot, "parrot")


MACHINES: tuple[Maker, ...] = (
    retry_storm,
    gaussian_sleeper,
    parallel_workers,
    scroll_faker,
    slow_dwell_faker,
    future_poster,
    agent_shuffler,
    parrot,
)
