"""One answer of a loop's voice: prompt, batch, screen, and what is written down of it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from everloop.contracts.canonical import canonical_json
from everloop.contracts.episodes import Json
from everloop.contracts.errors import EverloopError, ShouldResolveConflict, ShouldRetryLater
from everloop.contracts.feedback import InputType, Interaction, OutputType
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.speaking import Answer, SpeakRequest
from everloop.contracts.voices import Message
from everloop.persona.prompt import prompt_of
from everloop.serving.speaking.batching import GRACE_S, Job, MicroBatcher, Outcome
from everloop.serving.speaking.best import best_answer, drawn
from everloop.serving.speaking.screening import SAFE, ScreenedText
from everloop.serving.speaking.voices import Speaks, Voices

TASK = "speak"
"""Task type of what the service itself answered."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it was checked.

    Attributes:
        said: the conversation; its last turn is the person's.
        user_id, session_id: pseudonyms.
        streamed: whether pieces are read as they come, so that what was read stands in the answer.
        asked_sha256: of everything that makes the question this one; a replay has the same.
    """

    log_id: str
    loop: LoopSpec
    tenant: str
    user_id: str
    session_id: str
    said: tuple[Message, ...]
    episode_id: str | None
    max_new_tokens: int | None
    timeout_s: float
    streamed: bool = False

    @property
    def asked_sha256(self) -> str:
        """SHA-256 of the question, by which a replay is known."""
        told: list[Json] = [
            self.loop.name,
            self.user_id,
            self.session_id,
            [[turn.role, turn.content] for turn in self.said],
            self.episode_id,
            self.max_new_tokens,
        ]
        return hashlib.sha256(canonical_json(told).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Said:
    """An answer that may be shown. ``screened``: why it is the safe sentence, or ends with it where the
    sentences before were read already; empty for the voice's own."""

    text: str
    speaks: Speaks
    answer: Answer
    prompt_sha256: str
    screened: str
    seconds: float

    @property
    def model_version(self) -> str:
        """Adapter and prompt, as feedback finds them again."""
        return f"{self.speaks.version}+{self.prompt_sha256[:16]}"


@dataclass(frozen=True, slots=True)
class Begun:
    """A question that has its prompt and its arm, and waits for its answer."""

    asked: Asked
    speaks: Speaks
    request: SpeakRequest
    prompt_sha256: str


def begin(voices: Voices, asked: Asked) -> Begun:
    """Find what speaks to the person, and build the prompt; blocks while it reads and loads."""
    spec = voices.spec(asked.loop)
    speaks = voices.speaks(asked.loop, asked.tenant, asked.user_id)
    prompt = prompt_of(spec, speaks.graph, asked.said, asked.user_id)
    generation = spec.generation
    if asked.max_new_tokens is not None:
        most = min(asked.max_new_tokens, generation.max_new_tokens)
        generation = generation.model_copy(update={"max_new_tokens": most})
    # The same question under the same id is drawn alike, should its answer ever get lost.
    seed = int(hashlib.sha256(asked.log_id.encode()).hexdigest()[:15], 16)
    system = [turn.content for turn in prompt if turn.role == "system"]
    return Begun(
        asked=asked,
        speaks=speaks,
        request=SpeakRequest(prompt, speaks.adapter, seed, generation),
        prompt_sha256=hashlib.sha256("\n".join(system).encode()).hexdigest(),
    )


async def spoken(voices: Voices, begun: Begun) -> AsyncGenerator[str | Said]:
    """Pieces that may be shown, and the whole answer last; a caller that stops listening ends it.

    Where the question is streamed the pieces join to the answer's text, the safe sentence included.

    Raises:
        ShouldSlowDown: too many wait.
        ShouldRetryLater: it took too long, or the voice failed.
    """
    began = time.perf_counter()
    text = ScreenedText(voices.screen(begun.asked.loop))
    batcher, until = voices.batcher(begun.asked.loop), time.monotonic() + begun.asked.timeout_s
    if begun.speaks.scorer is not None:
        made = _best(batcher, begun, until)
    else:
        made = _pieces(batcher, begun, until)
    answer: Answer | None = None
    async with aclosing(made) as outcomes:
        async for outcome in outcomes:
            if isinstance(outcome, Answer):
                answer = outcome
            elif shown := text.push(outcome):
                yield shown
    if answer is None:
        raise RuntimeError("an answer ended without its end")
    if shown := text.finish():
        yield shown
    if text.refused and begun.asked.streamed:
        yield text.instead
    yield Said(
        text=SAFE if text.refused and not begun.asked.streamed else text.text + text.instead,
        speaks=begun.speaks,
        answer=answer,
        prompt_sha256=begun.prompt_sha256,
        screened=text.refused,
        seconds=time.perf_counter() - began,
    )


async def _best(batcher: MicroBatcher, begun: Begun, until: float) -> AsyncGenerator[str | Answer]:
    """The answer that the reward model takes, once all of them are there."""
    speaks = begun.speaks
    if speaks.scorer is None:
        raise RuntimeError("nothing can tell which answer is the best")
    answer = await best_answer(batcher, speaks.scorer, begun.request, speaks.best_of, until)
    yield answer.text
    yield answer


async def _pieces(
    batcher: MicroBatcher, begun: Begun, until: float
) -> AsyncGenerator[str | Answer]:
    told: asyncio.Queue[Outcome] = asyncio.Queue()
    running = asyncio.get_running_loop()

    def tell(outcome: Outcome) -> None:
        try:
            running.call_soon_threadsafe(told.put_nowait, outcome)
        except RuntimeError:  # the loop has ended, and nobody waits any more
            job.left.set()

    job = Job(begun.request, tell, until)
    batcher.ask(job)
    try:
        while True:
            try:
                async with asyncio.timeout(max(0.0, until + GRACE_S - time.monotonic())):
                    outcome = await told.get()
            except TimeoutError:
                raise ShouldRetryLater("The answer took too long.", "Ask again.") from None
            if isinstance(outcome, EverloopError):
                raise outcome
            yield outcome
            if isinstance(outcome, Answer):
                return
    finally:
        job.left.set()


def interaction_of(asked: Asked, said: Said, now: datetime) -> Interaction:
    """What is written down, so that feedback can be given on it."""
    speaks = said.speaks
    context: dict[str, Json] = {
        "application": "everloop",
        "arm": speaks.arm.value,
        "asked": asked.asked_sha256,
        "prompt": said.prompt_sha256,
    }
    earlier: list[Json] = [{"role": turn.role, "text": turn.content} for turn in asked.said[:-1]]
    more: Mapping[str, Json] = {
        "previous_turns": earlier,
        "rollout": speaks.rollout_id,
        "adapter": speaks.adapter,
        "fallback": speaks.fallback,
        "best_of": 0 if speaks.scorer is None else drawn(speaks.best_of),
        "screened": said.screened,
    }
    context |= {name: value for name, value in more.items() if value}
    persona = "" if asked.loop.voice is None else asked.loop.voice.persona
    return Interaction(
        log_id=asked.log_id,
        user_id=asked.user_id,
        session_id=asked.session_id,
        timestamp=now,
        input_type=InputType.USER_QUERY,
        input_data=asked.said[-1].content,
        output_type=OutputType.TEXT,
        output_data=said.text,
        agent_id=persona,
        task_type=TASK,
        persona=persona,
        model_version=said.model_version,
        context=context,
        episode_id=asked.episode_id,
        response_ms=1000.0 * said.seconds,
        tokens_in=said.answer.prompt_tokens,
        tokens_out=said.answer.tokens,
        tenant=asked.tenant,
    )


def require_same(asked: Asked, kept: Interaction) -> None:
    """``ShouldResolveConflict`` where another question has the id already."""
    if kept.user_id != asked.user_id or kept.context.get("asked") != asked.asked_sha256:
        raise ShouldResolveConflict(
            f"log_id={asked.log_id} is another question's.", "Send a UUID made once per question."
        )
