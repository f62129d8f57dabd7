"""More machines that the rules of ``everloop.feedback.quality`` were made with, after a first trial."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random

from bench.abuse_replay import Session
from bench.abuse_senders import DEVICES, Sender, sender
from everloop.contracts.feedback import FeedbackType as Kind

Campaign = tuple[Session, ...]
"""Sessions that run at the same time."""
Maker = Callable[[Random], Campaign]
_TEXTS = (
    "This answer helped me more than anything that I have read about {} so far, thank you!",
    "Honestly the best explanation of {} that I could have asked for, five stars from me.",
    "I showed it to my friends and all of them now use this app for {} every single day.",
)
_TOPICS = ("sleep", "running", "my taxes", "the garden", "Spanish verbs", "job interviews")


def _alone(bot: Sender, kind: str) -> Campaign:
    return (bot.session(kind),)


def _turns(random: Random, gap: Callable[[int], float], value: Callable[[int], object]) -> Sender:
    """A rating of each output ``gap`` seconds after it was shown."""
    bot = sender(random)
    for index in range(random.randint(12, 60)):
        output = bot.output()
        bot.clock.wait(max(0.01, gap(index)))
        said_now = value(index)
        bot.give(output, Kind.RATING, said_now if isinstance(said_now, int) else 5)
    return bot


def jittered_metronome(random: Random) -> Campaign:
    """``sleep(period * uniform(0.8, 1.2))``."""
    period = random.uniform(1.5, 20)
    bot = _turns(
        random, lambda _: period * random.uniform(0.8, 1.2), lambda _: random.choice((4, 5))
    )
    return _alone(bot, "jittered_metronome")


def human_replayer(random: Random) -> Campaign:
    """Plays a person's recorded gaps again and again."""
    tape = [random.lognormvariate(1.6, 0.7) + 0.5 for _ in range(random.randint(6, 15))]
    bot = _turns(random, lambda i: tape[i % len(tape)], lambda _: random.choice((1, 1, 2)))
    return _alone(bot, "human_replayer")


def text_farm(random: Random) -> Campaign:
    """Pastes from a few texts with a word changed, at a person's pace."""
    bot = sender(random)
    for _ in range(random.randint(12, 40)):
        output = bot.output()
        bot.clock.wait(random.lognormvariate(2.0, 0.5) + 2)
        text = random.choice(_TEXTS).format(random.choice(_TOPICS))
        bot.give(output, Kind.FREE_TEXT, text)
    return _alone(bot, "text_farm")


def alternator(random: Random) -> Campaign:
    """Up, down, up, down, at a person's pace."""
    bot = sender(random)
    for index in range(random.randint(16, 60)):
        output = bot.output()
        bot.clock.wait(random.lognormvariate(1.8, 0.6) + 0.5)
        bot.give(output, Kind.THUMB, index % 2 == 0)
    return _alone(bot, "alternator")


def shared_client_fleet(random: Random) -> Campaign:
    """Many sessions of one to three feedbacks from one client, spread over hours."""
    client = dict(random.choice(DEVICES))
    script = random.uniform(3, 15)
    fleet = []
    for _ in range(40):
        bot = sender(random, client)
        bot.clock.now = bot.clock.now.replace(day=4, hour=9) + timedelta(
            seconds=random.uniform(0, 6 * 3600)
        )
        for _ in range(random.randint(1, 3)):
            output = bot.output()
            bot.clock.wait(script * random.gauss(1, 0.06))
            bot.give(output, Kind.RATING, 5)
            bot.clock.wait(random.lognormvariate(3, 0.8))
        fleet.append(bot.session("shared_client_fleet"))
    return tuple(fleet)


def click_farm(random: Random) -> Campaign:
    """A tap every 1.2 seconds or so, for as long as the shift lasts."""
    bot = sender(random)
    for _ in range(random.randint(30, 90)):
        output = bot.output()
        bot.clock.wait(max(0.3, random.gauss(1.2, 0.2)))
        bot.give(output, Kind.CLICK, True)
    return _alone(bot, "click_farm")


def time_forger(random: Random) -> Campaign:
    """Sends two a second and claims moments of the last hours, in no order."""
    bot = sender(random)
    for _ in range(random.randint(12, 60)):
        output = bot.output()
        bot.clock.wait(random.uniform(0.3, 0.9))
        claimed = bot.clock.now - timedelta(seconds=random.uniform(0, 7200))
        bot.give(output, Kind.RATING, 5, claimed=claimed)
    return _alone(bot, "time_forger")


def accelerator(random: Random) -> Campaign:
    """Begins as slowly as a person and becomes faster with every feedback."""
    first, factor = random.uniform(8, 25), random.uniform(0.88, 0.97)
    bot = _turns(
        random,
        lambda i: first * factor**i * random.uniform(0.9, 1.1),
        lambda _: random.choice((5, 4)),
    )
    return _alone(bot, "accelerator")


def random_spammer(random: Random) -> Campaign:
    """Any value, as fast as the network takes it."""
    bot = _turns(
        random, lambda _: random.expovariate(1 / 0.4) + 0.05, lambda _: random.randint(1, 5)
    )
    return _alone(bot, "random_spammer")


def headless(random: Random) -> Campaign:
    """A browser without a window that takes a person's time."""
    agent = str(DEVICES[0]["user_agent"]).replace("Chrome/", "HeadlessChrome/")
    bot = sender(random, {"user_agent": agent, "device_type": "desktop"})
    for _ in range(random.randint(5, 40)):
        output = bot.output()
        bot.clock.wait(output[2] / 40 + random.lognormvariate(1.5, 0.7))
        bot.give(output, Kind.RATING, random.choice((5, 5, 4, 3)))
    return _alone(bot, "headless")


def burst_sleeper(random: Random) -> Campaign:
    """A handful at once, then nothing for minutes, and again."""
    bot = sender(random)
    for _ in range(random.randint(3, 8)):
        for _ in range(random.randint(4, 9)):
            output = bot.output()
            bot.clock.wait(random.uniform(0.1, 0.8))
            bot.give(output, Kind.THUMB, False)
        bot.clock.wait(random.uniform(120, 900))
    return _alone(bot, "burst_sleeper")


def hammer(random: Random) -> Campaign:
    """One output, judged again and again."""
    bot = sender(random)
    output = bot.output()
    for _ in range(random.randint(12, 50)):
        bot.clock.wait(random.lognormvariate(1.5, 0.6) + 0.5)
        bot.give(output, Kind.RATING, 1)
    return _alone(bot, "hammer")


def cron_poster(random: Random) -> Campaign:
    """A job that wakes on the minute and sometimes has nothing to do."""
    bot = sender(random)
    for _ in range(random.randint(12, 50)):
        ahead = 60 - bot.clock.now.timestamp() % 60 + 60 * random.choice((0, 0, 1, 1, 2, 5))
        output = bot.output()
        bot.clock.wait(ahead + random.uniform(0.2, 1.5))
        bot.give(output, Kind.RATING, random.choice((5, 4)))
    return _alone(bot, "cron_poster")


def skimming_script(random: Random) -> Campaign:
    """``sleep(uniform(1, 3))`` and five stars: a hurried person may look the same for a while."""
    bot = _turns(random, lambda _: random.uniform(1, 3), lambda _: 5)
    return _alone(bot, "skimming_script")


def patient_mimic(random: Random) -> Campaign:
    """A person's reading, thinking, pauses, taste and client, a few a day: it cannot be told."""
    bot = sender(random)
    for _ in range(random.randint(3, 12)):
        output = bot.output()
        bot.clock.wait(output[2] / random.uniform(25, 50) + random.lognormvariate(1.5, 0.8))
        bot.give(output, Kind.RATING, random.choice((5, 5, 4, 5, 3)))
        bot.clock.wait(random.lognormvariate(7, 1))
    return _alone(bot, "patient_mimic")


MACHINES: tuple[Maker, ...] = (
    jittered_metronome,
    human_replayer,
    text_farm,
    alternator,
    shared_client_fleet,
    click_farm,
    time_forger,
    accelerator,
    random_spammer,
    headless,
    burst_sleeper,
    hammer,
    cron_poster,
    skimming_script,
)
MIMICS: tuple[Maker, ...] = (patient_mimic,)
"""Shown, and left out of the goal: nothing that a session shows tells them from people."""
