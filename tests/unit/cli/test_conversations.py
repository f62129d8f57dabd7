"""``everloop import conversations``: what of a chat reaches the log, once, and of whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everloop.adaptation.corpora.chitchat import Chat, ChatRatings, ChatTurn
from everloop.adaptation.corpora.chitchat_feedback import (
    Comparisons,
    opening_reply,
    own_replies,
    rated,
    rated_reply,
)
from everloop.cli.app import app
from everloop.cli.conversations import SPOKEN_BY, ConversationSummary, import_conversations
from everloop.contracts.episodes import Consent
from everloop.contracts.feedback import FeedbackStatus, FeedbackType
from everloop.settings import initialise
from everloop.wiring import Workspace, open_ingest, open_workspace

QUESTION = "What did you learn lately?"
NOON = datetime(2018, 5, 2, 12, tzinfo=UTC)


def chat(name: str, rating: float, people: Sequence[str] = "ab", question: str = QUESTION) -> Chat:
    said = (
        f"hello there, I am the {name} one",
        f"I learned a great deal about the sea from {name}",
        "oh nice!",
        f"do tell me more about it, {name}, would you please do that",
    )
    turns = tuple(
        ChatTurn(people[at % 2], text, NOON + timedelta(minutes=at)) for at, text in enumerate(said)
    )
    return Chat(name, question, turns, ChatRatings(rating, rating, rating))


CHATS = (
    chat("good", 9),
    chat("untouched", 5),
    chat("bad", 1, "cd"),
    chat("sad", 2, "ae"),
    chat("mild", 6, "fg"),
)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    initialise(tmp_path / "home")
    return open_workspace(str(tmp_path / "home"))


def imported(place: Workspace, chats: tuple[Chat, ...] = CHATS) -> ConversationSummary:
    def source() -> Iterator[Chat]:
        yield from chats

    queue = open_ingest(place)
    try:
        return import_conversations(place, queue, "companion", "default", "cli:test", source=source)
    finally:
        queue.close()


def test_one_rating_a_chat_on_its_longest_answer_by_who_was_answered() -> None:
    reply = rated_reply(CHATS[0])
    assert reply is not None
    assert (reply.turn, reply.author, reply.addressee) == (3, "b", "a")
    assert [turn.role for turn in reply.prompt] == ["user", "assistant", "user"]
    assert reply.stars == pytest.approx(1 + 8 * 4 / 9, abs=0.05)
    assert [each.chat_id for each in rated(CHATS)] == ["good", "bad", "sad", "mild"]


def test_openings_of_other_people_on_the_same_question_are_paired_once() -> None:
    pairs = Comparisons()
    good, _, bad, sad, mild = (opening_reply(each) for each in CHATS)
    assert good is not None
    assert bad is not None
    assert sad is not None
    assert mild is not None
    assert good.reply.startswith("I learned")
    assert [turn.content for turn in good.prompt] == [QUESTION]
    assert pairs.add(sad) is None
    # Its people overlap with the sad one's: they wait for others.
    assert pairs.add(good) is None
    pair = pairs.add(bad)
    assert pair is not None
    assert (pair.chosen.chat_id, pair.rejected.chat_id) == ("good", "bad")
    assert pairs.add(mild) is None
    assert opening_reply(chat("x", 9, question="")) is None


def test_own_texts_come_from_well_rated_chats_alone() -> None:
    (told,) = own_replies(CHATS[0])
    assert told.author == "b"
    assert [answered.split()[0] for _, answered in told.replies] == ["I", "do"]
    assert list(own_replies(CHATS[2])) == []


def test_what_reaches_the_log(place: Workspace) -> None:
    done = imported(place)
    assert (done.chats, done.people, done.ratings, done.comparisons) == (4, 7, 4, 1)
    assert (done.rows_new, done.packages_new, done.refused) == (10, 1, 0)
    mark = place.voice_log.watermark()
    told = list(place.voice_log.spoken_feedback("companion", mark))
    assert {each.feedback.status for each in told} == {FeedbackStatus.ACCEPTED}
    assert {each.interaction.model_version for each in told} == {SPOKEN_BY}
    (pair,) = [each for each in told if each.feedback.feedback_type is FeedbackType.COMPARISON]
    assert pair.interaction.input_data == QUESTION
    (preferred,) = pair.feedback.interpretations
    assert preferred.preference is not None
    assert ["good" in text for text in preferred.preference] == [True, False]
    ratings = {
        each.feedback.value for each in told if each.feedback.feedback_type is FeedbackType.RATING
    }
    assert ratings == {4.6, 1.0, 1.4, 3.2}
    (package,) = place.voice_log.packages("companion", mark)
    assert package.user_id == place.pseudonyms.of("chitchat/b", tenant="default")


def test_no_dataset_id_is_stored(place: Workspace) -> None:
    imported(place, (chat("good", 9, ("first-person-id", "second-person-id")),))
    for each in place.voice_log.spoken_feedback("companion", place.voice_log.watermark()):
        assert "person-id" not in repr(each)


def test_again_changes_nothing_and_more_adds_the_rest(place: Workspace) -> None:
    first = imported(place, CHATS[:2])
    again = imported(place)
    assert first.rows_new == again.rows_replayed == 2
    assert again.rows_new == 8
    assert imported(place).rows_new == 0
    assert imported(place).packages_new == 0


def test_people_who_refused_training_give_no_package(place: Workspace) -> None:
    person = place.pseudonyms.of("chitchat/b", tenant="default")
    refuse(place, person)
    done = imported(place)
    assert (done.packages_new, done.refused) == (0, 1)
    heard = place.voice_log.spoken_feedback("companion", place.voice_log.watermark())
    assert all(each.feedback.user_id != person for each in heard)


def refuse(place: Workspace, person: str) -> None:
    place.log.record_consent(Consent(person, "train", False, datetime.now(UTC)), "cli:test")


def test_the_command_reads_the_installed_dataset(place: Workspace) -> None:
    done = CliRunner().invoke(
        app, ["import", "conversations", "--limit", "3", "--home", str(place.home)]
    )
    assert done.exit_code == 0, done.output
    assert "3 chats" in done.stdout
    assert "assumed" not in done.stdout
    assert "Nobody compared answers" in done.stdout
