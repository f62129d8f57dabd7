"""Counts how answers end while a voice is tried, and changes nothing about them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from everloop.contracts.episodes import Arm
from everloop.contracts.errors import EverloopError, ShouldSlowDown
from everloop.serving.decisions.voice_counts import Tried, VoiceCounts
from everloop.serving.speaking.answering import Begun, Said
from everloop.serving.speaking.batching import MicroBatcher


async def counted(
    counts: VoiceCounts,
    batcher: MicroBatcher,
    begun: Begun,
    made: AsyncGenerator[str | Said],
) -> AsyncGenerator[str | Said]:
    """The same pieces and the same end; who stops listening counts for nothing.

    Args:
        batcher: what ``begun`` waits in.
    """
    spec, tried = begun.asked.loop, _tried(begun)
    if tried is None:
        async with aclosing(made) as pieces:
            async for each in pieces:
                yield each
        return
    counts.begun(spec, tried)
    began = time.perf_counter()
    waited, ended = 0.0, False
    try:
        async with aclosing(made) as pieces:
            async for each in pieces:
                if isinstance(each, Said):
                    ended = True
                    seconds = time.perf_counter() - began - waited
                    if each.answer.text.strip():
                        counts.said(spec, tried, bool(each.screened), seconds)
                    else:
                        counts.failed(spec, tried)
                told = time.perf_counter()
                yield each
                # How slowly somebody reads is not how slowly the voice speaks.
                waited += time.perf_counter() - told
    except (ShouldSlowDown, GeneratorExit):
        if not ended:
            counts.dropped(spec, tried)
        raise
    except EverloopError:
        if batcher.closing:
            counts.dropped(spec, tried)
        else:
            counts.failed(spec, tried)
        raise


def _tried(begun: Begun) -> Tried | None:
    speaks = begun.speaks
    if not speaks.rollout_id or speaks.arm is Arm.HOLDOUT:
        return None
    return Tried(
        speaks.rollout_id,
        begun.asked.tenant,
        candidate=speaks.arm is Arm.CANDIDATE,
        instead=bool(speaks.fallback),
    )
