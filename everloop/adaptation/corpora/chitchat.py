"""Conversations of chitchat-dataset (BYU PCC lab, MIT): 7,168 chats of 1,315 people, 5,988 of them rated.

After a chat a participant could move three sliders, ``witty``, ``upbeat`` and ``interesting``, from 1 to
10; most were left at 5 together. Which of the two moved them is not recorded, so a rating speaks of the
chat. A chat whose three ratings are 5 counts as not rated, and one in which nobody answered is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from everloop.adaptation.corpora.corpus_row import CorpusRow
from everloop.adaptation.corpora.json_members import json_members
from everloop.adaptation.installed import package_folder
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import Message

UNTOUCHED = 5.0
WELL_RATED = 7.0
"""Mean of the three ratings from which a chat is worth learning from."""
MAX_HISTORY = 6
"""Turns before the answer that a prompt shows."""
LEAST_WORDS = 4
"""Of an answer: shorter ones (yeah, lol) teach nothing."""


@dataclass(frozen=True, slots=True)
class ChatRatings:
    """Where the three sliders were left, each from 1 to 10."""

    witty: float
    upbeat: float
    interesting: float

    @property
    def mean(self) -> float:
        return (self.witty + self.upbeat + self.interesting) / 3

    @property
    def moved(self) -> bool:
        """Whether anybody moved a slider at all."""
        return {self.witty, self.upbeat, self.interesting} != {UNTOUCHED}


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """What one participant sent before the other answered, lines joined; ``at``: when the last was sent."""

    sender: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat as the dataset has it; ``question``: what both were asked to talk about, may be empty."""

    chat_id: str
    question: str
    turns: tuple[ChatTurn, ...]
    ratings: ChatRatings | None

    @property
    def senders(self) -> int:
        return len({turn.sender for turn in self.turns})

    def answers(self) -> Iterator[int]:
        """Turns that answer another person's and have ``LEAST_WORDS`` words."""
        for at in range(1, len(self.turns)):
            turn = self.turns[at]
            if turn.sender != self.turns[at - 1].sender and len(turn.text.split()) >= LEAST_WORDS:
                yield at

    def before(self, at: int) -> tuple[Message, ...]:
        """The newest turns before one, as its sender saw them: their own are the assistant's.

        At most ``MAX_HISTORY``; the result begins with a user's turn, or is empty.
        """
        speaker, first = self.turns[at].sender, max(0, at - MAX_HISTORY)
        said = [
            Message("assistant" if turn.sender == speaker else "user", turn.text)
            for turn in self.turns[first:at]
        ]
        while said and said[0].role == "assistant":
            said.pop(0)
        return tuple(said)


def chats() -> Iterator[Chat]:
    """Every chat, one at a time, in the dataset's order.

    Raises:
        ShouldRestoreArtefact: the package is not installed, or its file is another.
    """
    path = package_folder("chitchat_dataset", "chitchat-dataset") / "dataset.json"
    for chat_id, told in json_members(path):
        try:
            yield _chat(chat_id, told)
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise ShouldRestoreArtefact(
                f"Chat {chat_id} of {path} is not as expected ({problem!r}).",
                "Reinstall chitchat-dataset as the lock file pins it.",
            ) from problem


def chitchat_rows() -> Iterator[CorpusRow]:
    """Answers in well-rated chats, with the turns before them."""
    for chat in chats():
        if not (chat.ratings and chat.ratings.moved and chat.ratings.mean >= WELL_RATED):
            continue
        for at in chat.answers():
            if prompt := chat.before(at):
                answer = Message("assistant", chat.turns[at].text)
                yield CorpusRow(f"{chat.chat_id}/{at}", (*prompt, answer), Category.CONVERSATIONAL)


def _chat(chat_id: str, told: dict[str, Any]) -> Chat:
    turns: list[ChatTurn] = []
    for lines in told["messages"]:
        text = "\n".join(line["text"].strip() for line in lines if line["text"].strip())
        if text:
            last = lines[-1]
            turns.append(ChatTurn(last["sender"], text, _moment(last["timestamp"])))
    rated = told.get("ratings")
    ratings = (
        None
        if rated is None
        else ChatRatings(*(float(rated[name]) for name in ("witty", "upbeat", "interesting")))
    )
    return Chat(chat_id, told.get("prompt") or "", tuple(turns), ratings)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
