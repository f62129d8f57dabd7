"""Real rated chats as a product's log: interactions, ratings, comparisons and people's own texts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from everloop.adaptation.corpora.chitchat import Chat, chats
from everloop.adaptation.corpora.chitchat_feedback import (
    ComparedReplies,
    Comparisons,
    OwnReplies,
    RatedReply,
    opening_reply,
    own_replies,
    rated,
    rated_reply,
)
from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldRespectConsent
from everloop.contracts.feedback import (
    FeedbackInstance,
    FeedbackStatus,
    FeedbackType,
    InputType,
    Interaction,
    OutputType,
)
from everloop.contracts.serving import Receipt, Submission
from everloop.contracts.voices import MAX_TEXT, UserDataPackage
from everloop.feedback.capture import SentFeedback, capture, receive
from everloop.feedback.quality import assess

if TYPE_CHECKING:
    from everloop.contracts.service_ports import IngestQueue
    from everloop.wiring import Workspace

AGENT = "chitchat"
SPOKEN_BY = "human"
"""Version of what answered: no model did."""
NOTE = (
    "Words, authors, times and ratings are real (chitchat-dataset, MIT). Which of two people gave a rating "
    "isn't recorded: who was answered stands for them. Nobody compared answers: pairs come from a well and "
    "a badly rated chat on the same question."
)
_NAMESPACE = uuid.UUID("0b8f4e0d-6f0a-4d55-9a43-7d2f3d2c9a61")
_IN_FLIGHT = 64
_Waiting = tuple[Submission, "Future[Receipt]"]


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """What an import of chats did; ``rows_new``: interactions and feedback not stored before.

    ``refused``: chats or packages of people who withdrew or were erased.
    """

    tenant: str
    persona: str
    chats: int
    people: int
    ratings: int
    comparisons: int
    packages_new: int
    packages_replayed: int
    rows_new: int
    rows_replayed: int
    quarantined: int
    refused: int
    note: str = NOTE


@dataclass(slots=True)
class _Importer:
    place: Workspace
    queue: IngestQueue
    persona: str
    tenant: str
    actor: str
    summary: ConversationSummary

    def person(self, dataset_id: str) -> str:
        return self.place.pseudonyms.of(f"{AGENT}/{dataset_id}", tenant=self.tenant)

    def id_of(self, *parts: str) -> str:
        return str(uuid.uuid5(_NAMESPACE, "\n".join((self.tenant, self.persona, *parts))))

    def judged(self, reply: RatedReply) -> Submission:
        """An answer with its chat's rating."""
        spoken = self._interaction(reply, reply.chat_id, ())
        return self._submission(spoken, FeedbackType.RATING, reply.stars, reply.rated_at)

    def compared(self, pair: ComparedReplies) -> Submission:
        """The question that two chats were given, with the answer that counts as preferred."""
        chosen, rejected = pair.chosen, pair.rejected
        spoken = self._interaction(chosen, f"{chosen.chat_id}/compared", ("compared",))
        told: Json = {"chosen": chosen.reply, "rejected": rejected.reply}
        return self._submission(spoken, FeedbackType.COMPARISON, told, chosen.rated_at)

    def _submission(
        self, spoken: Interaction, kind: FeedbackType, value: Json, given_at: datetime
    ) -> Submission:
        feedback = self._feedback(spoken, kind, value, given_at)
        return Submission(self.tenant, self.actor, interactions=(spoken,), feedback=(feedback,))

    def _interaction(self, reply: RatedReply, session: str, key: tuple[str, ...]) -> Interaction:
        *earlier, last = reply.prompt
        return Interaction(
            log_id=self.id_of("interaction", reply.chat_id, str(reply.turn), *key),
            user_id=self.person(reply.addressee),
            session_id=self.person(f"chat/{session}"),
            timestamp=reply.said_at,
            input_type=InputType.USER_QUERY,
            input_data=last.content,
            output_type=OutputType.TEXT,
            output_data=reply.reply,
            agent_id=AGENT,
            task_type="conversation",
            persona=self.persona,
            model_version=SPOKEN_BY,
            context={
                "application": AGENT,
                "previous_turns": [{"role": turn.role, "text": turn.content} for turn in earlier],
            },
            tenant=self.tenant,
        )

    def _feedback(
        self,
        spoken: Interaction,
        kind: FeedbackType,
        value: Json,
        given_at: datetime,
    ) -> FeedbackInstance:
        """As the service takes feedback in; what arrived then is judged by when it was given."""
        moment = max(given_at, spoken.timestamp)
        sent = SentFeedback(
            feedback_id=self.id_of("feedback", spoken.log_id, kind.value),
            log_id=spoken.log_id,
            user_id=None,
            session_id=None,
            timestamp=moment,
            feedback_type=kind,
            raw_value=value,
            tenant=self.tenant,
        )
        received = receive(sent, spoken, moment)
        verdict = assess(received.incoming, (), moment)
        return capture(received, verdict)

    def add_package(self, told: OwnReplies) -> None:
        """Keep a person's own answers; who withdrew or was erased is passed over."""
        package = UserDataPackage(
            package_id=self.id_of("package", told.chat_id, told.author),
            user_id=self.person(told.author),
            timestamp=told.said_at,
            origin=AGENT,
            replies=tuple(
                (said[:MAX_TEXT], answered[:MAX_TEXT]) for said, answered in told.replies
            ),
            persona=self.persona,
            tenant=self.tenant,
        )
        try:
            new = self.place.voices.add_package(package, self.actor)
        except ShouldRespectConsent:
            self.count(refused=1)
            return
        self.count(packages_new=int(new), packages_replayed=int(not new))

    def count(self, **added: int) -> None:
        """Add to the summary's counts."""
        now = {name: getattr(self.summary, name) + number for name, number in added.items()}
        self.summary = replace(self.summary, **now)


def import_conversations(
    place: Workspace,
    queue: IngestQueue,
    persona: str,
    tenant: str,
    actor: str,
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
    source: Callable[[], Iterator[Chat]] = chats,
) -> ConversationSummary:
    """Log rated chats as a persona's interactions with their feedback; again, it changes nothing.

    Args:
        queue: the service's door into ``place``'s log.
        limit: at most so many rated chats, in the dataset's order.
        progress: called with the number of chats done.

    Raises:
        ShouldRestoreArtefact: the dataset is not installed.
    """
    empty = ConversationSummary(tenant, persona, *(0,) * 10)
    work = _Importer(place, queue, persona, tenant, actor, empty)
    pairs, people, waiting = Comparisons(), set[str](), list[_Waiting]()
    for done, chat in enumerate(islice(rated(source()), limit), start=1):
        people.update(turn.sender for turn in chat.turns)
        reply, opening = rated_reply(chat), opening_reply(chat)
        pair = None if opening is None else pairs.add(opening)
        submissions = (
            *(() if reply is None else (work.judged(reply),)),
            *(() if pair is None else (work.compared(pair),)),
        )
        waiting.extend((each, queue.submit(each)) for each in submissions)
        for told in own_replies(chat):
            work.add_package(told)
        work.count(chats=1)
        if len(waiting) >= _IN_FLIGHT:
            _settle(work, waiting)
        if progress is not None:
            progress(done)
    _settle(work, waiting)
    return replace(work.summary, people=len(people))


def _settle(work: _Importer, waiting: list[_Waiting]) -> None:
    """Wait until what was submitted is durable, and count it."""
    for submission, future in waiting:
        try:
            receipt = future.result()
        except ShouldRespectConsent:
            work.count(refused=1)
            continue
        kinds = [each.feedback_type for each in submission.feedback]
        work.count(
            ratings=kinds.count(FeedbackType.RATING),
            comparisons=kinds.count(FeedbackType.COMPARISON),
            rows_new=receipt.new,
            rows_replayed=receipt.replayed,
            quarantined=sum(
                each.status is FeedbackStatus.QUARANTINED for each in submission.feedback
            ),
        )
    waiting.clear()
