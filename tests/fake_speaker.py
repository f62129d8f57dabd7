"""A speaker without a model: quick, the same at every call, and told what to say where a test cares."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from everloop.contracts.errors import EverloopError, ShouldNameKnownId
from everloop.contracts.speaking import AdapterFolder, Answer, BaseFolder, SpeakRequest, TextScore
from everloop.contracts.voices import Message

WORDS = re.findall(
    r"\w+",
    "yes no maybe slowly gently today tomorrow together listen tell me more about that "
    "please thank you warm small walk friend well",
)


@dataclass(frozen=True, slots=True)
class FakeSpoken:
    """See ``everloop.speaking.engine.Spoken``."""

    position: int
    piece: str
    answer: Answer | None = None
    problem: EverloopError | None = None


class FakeSpeaker:
    """Implements ``Speaker``. A token is a word with the blank before it; the end of turn is one more.

    Args:
        adapters: versions that are loaded; the base ("") always is.
        says: (adapter, what was said last) -> the answer; or a function of the request that returns
            None where it has no opinion. Anything else is drawn from ``WORDS`` by the request's hash.
        likes: adapter -> {completion: nats a token}, in place of -1 less up to 1 by the text's hash.
    """

    def __init__(
        self,
        adapters: Sequence[str] = (),
        says: Mapping[tuple[str, str], str] | Callable[[SpeakRequest], str | None] | None = None,
        likes: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self._adapters = {"", *adapters}
        self._says = says or {}
        self._likes = likes or {}
        self.asked: list[SpeakRequest] = []

    @property
    def versions(self) -> frozenset[str]:
        """Adapters that are loaded, without the base."""
        return frozenset(self._adapters - {""})

    @property
    def base(self) -> BaseFolder:
        """Of nothing."""
        return BaseFolder("fake", Path("nowhere"), "0" * 64, "none", 1024)

    def load(self, adapter: AdapterFolder) -> None:
        """Let an adapter be asked for."""
        self._adapters.add(adapter.version)

    def lease(self, version: str) -> object:
        """See ``Engine.lease``; nothing is kept."""
        self._require({version})
        return version

    def unload(self, version: str) -> None:
        """See ``Engine.unload``."""
        self._adapters.discard(version)

    def answer(self, requests: Sequence[SpeakRequest]) -> tuple[Answer, ...]:
        """See ``Speaker``."""
        self._require({request.adapter for request in requests})
        self.asked += requests
        return tuple(self._one(request) for request in requests)

    def stream(self, request: SpeakRequest) -> Iterator[str]:
        """See ``Speaker``."""
        self._require({request.adapter})
        self.asked.append(request)
        return iter(_tokens(self._one(request).text))

    def follow(
        self, requests: Sequence[SpeakRequest], abandoned: Callable[[int], bool] = lambda _: False
    ) -> Iterator[FakeSpoken]:
        """See ``Engine.follow``: pieces of all answers by turns, each answer at its end."""
        answers = self.answer(requests)
        pieces = [_tokens(answer.text) for answer in answers]
        return self._followed(answers, pieces, abandoned)

    def _followed(
        self,
        answers: Sequence[Answer],
        pieces: Sequence[list[str]],
        abandoned: Callable[[int], bool],
    ) -> Iterator[FakeSpoken]:
        going = set(range(len(answers)))
        for step in range(1 + max(map(len, pieces), default=0)):
            for position in sorted(going):
                if abandoned(position):
                    going.discard(position)
                elif step < len(pieces[position]):
                    yield FakeSpoken(position, pieces[position][step])
                else:
                    going.discard(position)
                    yield FakeSpoken(position, "", answers[position])

    def score(
        self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str], adapter: str = ""
    ) -> tuple[TextScore, ...]:
        """See ``Speaker``."""
        self._require({adapter})
        return tuple(
            self._score(prompt, completion, adapter)
            for prompt, completion in zip(prompts, completions, strict=True)
        )

    def _require(self, adapters: set[str]) -> None:
        if unknown := adapters - self._adapters:
            raise ShouldNameKnownId(f"No adapter {min(unknown)!r} is loaded.", "Load it first.")

    def _one(self, request: SpeakRequest) -> Answer:
        limit = request.generation.max_new_tokens
        tokens = _tokens(self._text(request))
        return Answer(
            text="".join(tokens[:limit]).strip(),
            adapter=request.adapter,
            tokens=min(len(tokens) + 1, limit),
            prompt_tokens=sum(len(_tokens(turn.content)) + 2 for turn in request.messages),
            ended=len(tokens) < limit,
            seconds=0.0,
        )

    def _text(self, request: SpeakRequest) -> str:
        last = request.messages[-1].content
        said = (
            self._says(request) if callable(self._says) else self._says.get((request.adapter, last))
        )
        if said is not None:
            return said
        seed = request.seed if request.generation.temperature else 0
        digest = _digest(request.messages, request.adapter, str(seed))
        return " ".join(WORDS[byte % len(WORDS)] for byte in digest[: 4 + digest[0] % 8]) + "."

    def _score(self, prompt: tuple[Message, ...], completion: str, adapter: str) -> TextScore:
        count = len(_tokens(completion)) + 1
        liked = self._likes.get(adapter, {}).get(completion)
        if liked is None:
            liked = -1.0 - _digest(prompt, adapter, completion)[0] / 255
        return TextScore(log_probability=liked * count, tokens=count)


def _tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


def _digest(messages: Sequence[Message], *more: str) -> bytes:
    told = [part for turn in messages for part in (turn.role, turn.content)]
    return hashlib.sha256("\0".join((*told, *more)).encode()).digest()
