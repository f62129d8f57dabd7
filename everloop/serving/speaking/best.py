"""Several answers to one question, of which a reward model takes one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from everloop.adaptation.training.best_of import Scorer
from everloop.contracts.errors import EverloopError, ShouldRetryLater
from everloop.contracts.speaking import Answer, SpeakRequest
from everloop.contracts.voice_spec import MOST_DRAWN
from everloop.serving.speaking.batching import GRACE_S, Job, MicroBatcher, Outcome

MOST = MOST_DRAWN
"""Answers of one question at most: a batch. More would keep everybody else waiting."""


def drawn(best_of: int) -> int:
    """How many answers are drawn where so many are asked for."""
    return min(best_of, MOST)


async def best_answer(
    batcher: MicroBatcher, scorer: Scorer, request: SpeakRequest, best_of: int, until: float
) -> Answer:
    """Draw answers together and take the one that scores highest, the first among equals.

    Answer i is drawn with ``request.seed`` + i. One that fails fails the question: the best of fewer would
    be another distribution.

    Raises:
        ShouldSlowDown: too many wait.
        ShouldRetryLater: it took too long, or the voice failed.
    """
    running = asyncio.get_running_loop()
    count = drawn(best_of)
    ends: list[asyncio.Future[Answer]] = [running.create_future() for _ in range(count)]
    jobs = [
        Job(replace(request, seed=request.seed + at), _ending(running, ends[at]), until)
        for at in range(count)
    ]
    try:
        for job in jobs:
            batcher.ask(job)
        async with asyncio.timeout(max(0.0, until + GRACE_S - time.monotonic())):
            answers = await asyncio.gather(*ends)
    except TimeoutError:
        raise ShouldRetryLater("The answer took too long.", "Ask again.") from None
    finally:
        for job, end in zip(jobs, ends, strict=True):
            job.left.set()
            end.cancel()
    prompts, texts = [request.messages] * count, [answer.text for answer in answers]
    scores = await asyncio.to_thread(scorer.score, prompts, texts)
    return answers[max(range(count), key=lambda at: (scores[at], -at))]


def _ending(
    running: asyncio.AbstractEventLoop, end: asyncio.Future[Answer]
) -> Callable[[Outcome], None]:
    """What the batcher's thread tells: only how it ends counts."""

    def settle(outcome: Answer | EverloopError) -> None:
        if end.done():
            return
        if isinstance(outcome, Answer):
            end.set_result(outcome)
        else:
            end.set_exception(outcome)

    def tell(outcome: Outcome) -> None:
        if isinstance(outcome, str):
            return
        try:
            running.call_soon_threadsafe(settle, outcome)
        except RuntimeError:  # the loop has ended, and nobody waits any more
            return

    return tell
