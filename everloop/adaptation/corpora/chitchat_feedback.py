"""What people said of real chats, in the shapes in which a product hears of it.

Real in every row: the words, who wrote them, when, and where the three sliders of the chat were left.
Derived, because the dataset does not record it:

- *whose rating it is*: the person who was answered stands for the chat's rater; either may have been;
- *what it is on*: the longest answer of the chat stands for all of it; a chat gives one rating, as it did;
- *stars*: the mean of witty, upbeat and interesting, from 1..10 to 1..5 on a line;
- *comparisons*: nobody compared two answers. A pair is what somebody first said at length to the question
  of a well-rated chat, and the same from a badly rated chat of other people on the same question; the other
  person of the better chat stands for who preferred it;
- *the voice*: a person spoke, no model; the answer is logged as a product would log its own.

Nothing is a correction: nobody rewrote an answer. What people answered in well-rated chats is their own
text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from everloop.adaptation.corpora.chitchat import WELL_RATED, Chat, ChatRatings
from everloop.contracts.voices import Message

BADLY_RATED = 4.0
"""Mean of the three ratings up to which a chat counts as disliked."""
MOST_REPLIES = 40
"""Of one person in one chat."""
OPENING_WORDS = 8
"""Least of what is said at length to a chat's question, and within how many turns."""


@dataclass(frozen=True, slots=True)
class RatedReply:
    """The longest answer of a rated chat, or its opening.

    Attributes:
        turn: number of the answer's turn in its chat, from 0.
        question: what the chat was to be about; "" where it had none.
        prompt: the turns before, the answering person's own as the assistant's.
        author, addressee: ids of the dataset; who answered, and who was answered.
        said_at, rated_at: of the answer, and of the chat's end.
    """

    chat_id: str
    turn: int
    question: str
    prompt: tuple[Message, ...]
    reply: str
    author: str
    addressee: str
    said_at: datetime
    rated_at: datetime
    ratings: ChatRatings

    @property
    def stars(self) -> float:
        """The mean rating on 1..5, to one decimal."""
        return round(1.0 + (self.ratings.mean - 1.0) * 4.0 / 9.0, 1)


@dataclass(frozen=True, slots=True)
class ComparedReplies:
    """Two openings on the same question, from a well-rated and a badly rated chat of different people."""

    chosen: RatedReply
    rejected: RatedReply


@dataclass(frozen=True, slots=True)
class OwnReplies:
    """What one person answered in one well-rated chat: (what was said to them, what they answered)."""

    chat_id: str
    author: str
    replies: tuple[tuple[str, str], ...]
    said_at: datetime


def rated(chats: Iterable[Chat]) -> Iterator[Chat]:
    """Chats in which two people talked and a slider was moved."""
    for chat in chats:
        if chat.senders == 2 and chat.ratings is not None and chat.ratings.moved:
            yield chat


def rated_reply(chat: Chat) -> RatedReply | None:
    """The longest answer of a rated chat, the first of equals; None where nobody said anything to it."""
    if chat.ratings is None:
        return None
    answers = [at for at in chat.answers() if chat.before(at)]
    if not answers:
        return None
    at = max(answers, key=lambda each: len(chat.turns[each].text))
    return RatedReply(
        chat_id=chat.chat_id,
        turn=at,
        question=chat.question,
        prompt=chat.before(at),
        reply=chat.turns[at].text,
        author=chat.turns[at].sender,
        addressee=chat.turns[at - 1].sender,
        said_at=chat.turns[at].at,
        rated_at=max(turn.at for turn in chat.turns),
        ratings=chat.ratings,
    )


def opening_reply(chat: Chat) -> RatedReply | None:
    """What was first said at length, as an answer to the question that the chat was given.

    None where it was given none, or everything early was short.
    """
    if chat.ratings is None or not chat.question or chat.senders != 2:
        return None
    for at, turn in enumerate(chat.turns[:OPENING_WORDS]):
        if len(turn.text.split()) >= OPENING_WORDS:
            return RatedReply(
                chat_id=chat.chat_id,
                turn=at,
                question=chat.question,
                prompt=(Message("user", chat.question),),
                reply=turn.text,
                author=turn.sender,
                addressee=next(each.sender for each in chat.turns if each.sender != turn.sender),
                said_at=turn.at,
                rated_at=max(each.at for each in chat.turns),
                ratings=chat.ratings,
            )
    return None


class Comparisons:
    """Pairs openings as they come; each is in at most one pair."""

    def __init__(self) -> None:
        self._good: dict[str, list[RatedReply]] = defaultdict(list)
        self._bad: dict[str, list[RatedReply]] = defaultdict(list)

    def add(self, reply: RatedReply) -> ComparedReplies | None:
        """The pair that an opening completes, if it does."""
        good = reply.ratings.mean >= WELL_RATED
        if not reply.question or not (good or reply.ratings.mean <= BADLY_RATED):
            return None
        own, others = (self._good, self._bad) if good else (self._bad, self._good)
        waiting = others[reply.question]
        for at, other in enumerate(waiting):
            if {other.author, other.addressee} & {reply.author, reply.addressee}:
                continue
            if other.reply.strip() == reply.reply.strip():
                continue
            del waiting[at]
            return ComparedReplies(reply, other) if good else ComparedReplies(other, reply)
        own[reply.question].append(reply)
        return None


def own_replies(chat: Chat) -> Iterator[OwnReplies]:
    """Each person's answers in a well-rated chat, to what the other had just said."""
    if chat.ratings is None or chat.ratings.mean < WELL_RATED or not chat.ratings.moved:
        return
    said: dict[str, list[tuple[str, str]]] = defaultdict(list)
    last: dict[str, datetime] = {}
    for at in chat.answers():
        turn = chat.turns[at]
        if len(said[turn.sender]) < MOST_REPLIES:
            said[turn.sender].append((chat.turns[at - 1].text, turn.text))
            last[turn.sender] = turn.at
    for author, replies in said.items():
        yield OwnReplies(chat.chat_id, author, tuple(replies), last[author])
