"""The corpora that come as Python packages, as they are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from everloop.adaptation.corpora import bfcl, chatterbot, chitchat, stream
from everloop.adaptation.corpora.bfcl import bfcl_rows
from everloop.adaptation.corpora.chatterbot import chatterbot_rows
from everloop.adaptation.corpora.chitchat import Chat, ChatRatings, ChatTurn, chats, chitchat_rows
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.voice_spec import Category, CorpusSpec

NOON = datetime(2018, 5, 2, 12, tzinfo=UTC)


def chat_of(*said: tuple[str, str]) -> Chat:
    turns = tuple(
        ChatTurn(sender, text, NOON + timedelta(minutes=at))
        for at, (sender, text) in enumerate(said)
    )
    return Chat("c", "What did you learn?", turns, ChatRatings(8, 9, 7))


def test_answers_are_to_another_person_and_say_something() -> None:
    chat = chat_of(
        ("a", "Hello, how are you?"),
        ("a", "Are you still there, my friend?"),
        ("b", "yes"),
        ("a", "Good, I was worried about you."),
        ("b", "I went to the sea with my dog."),
    )
    assert list(chat.answers()) == [3, 4]
    assert [(turn.role, turn.content[:3]) for turn in chat.before(4)] == [
        ("user", "Hel"),
        ("user", "Are"),
        ("assistant", "yes"),
        ("user", "Goo"),
    ]


def test_a_prompt_is_short_and_begins_with_the_other() -> None:
    chat = chat_of(*[("ab"[at % 2], f"turn number {at} of many") for at in range(20)])
    prompt = chat.before(15)
    assert [turn.content.split()[2] for turn in prompt] == ["10", "11", "12", "13", "14"]
    assert prompt[0].role == prompt[-1].role == "user"


def test_ratings_left_where_they_stood_are_none() -> None:
    assert not ChatRatings(5, 5, 5).moved
    assert ChatRatings(5, 5, 4).moved
    assert ChatRatings(6, 9, 9).mean == pytest.approx(8)


def test_chitchat_yields_answers_of_well_rated_chats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(rating: int, *texts: str) -> dict[str, object]:
        messages = [
            [{"text": text, "sender": "ab"[at % 2], "timestamp": "2018-05-02T19:38:15Z"}]
            for at, text in enumerate(texts)
        ]
        ratings = {"witty": rating, "upbeat": rating, "interesting": rating}
        return {"messages": messages, "ratings": ratings, "prompt": "?"}

    rows = {
        "good": told(9, "hello there my friend", "what a lovely day it is"),
        "bad": told(2, "hello there my friend", "what an awful day it is"),
        "untouched": told(5, "hello there my friend", "what a day it is today"),
        "unanswered": {"messages": told(9, "is anybody there today")["messages"]},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(rows))
    monkeypatch.setattr(chitchat, "package_folder", lambda *_: tmp_path)
    (row,) = chitchat_rows()
    assert row.row_id == "good/1"
    assert row.turns[-1].content == "what a lovely day it is"


def test_a_chat_of_another_shape_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dataset.json").write_text('{"one": {"messages": [[{"text": "a"}]]}}')
    monkeypatch.setattr(chitchat, "package_folder", lambda *_: tmp_path)
    with pytest.raises(ShouldRestoreArtefact, match="Chat one"):
        list(chats())


def test_the_first_accepted_call_is_the_answer() -> None:
    row = next(bfcl_rows())
    assert row.category is Category.TOOL
    assert [turn.role for turn in row.turns] == ["system", "user", "assistant"]
    assert json.loads(row.turns[-1].content) == [
        {"name": "calculate_triangle_area", "arguments": {"base": 10, "height": 5}}
    ]
    assert row.turns[0].content.startswith(bfcl.INSTRUCTION)


def test_accepted_values_inside_objects_and_lists() -> None:
    accepted: dict[str, list[Any]] = {
        "where": [{"city": ["Rome", "Roma"], "zip": ["", "00100"]}],
        "days": [["Mon", "Tue"], ["Monday", "Tuesday"]],
        "stops": [[{"name": ["A"]}, {"name": ["B"]}]],
        "unit": ["km", ""],
    }
    assert bfcl._arguments(accepted) == {
        "where": {"city": "Rome"},
        "days": ["Mon", "Tue"],
        "stops": [{"name": "A"}, {"name": "B"}],
    }


def test_chatterbot_answers_what_was_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "english"
    folder.mkdir(parents=True)
    (folder / "emotion.yml").write_text(
        "conversations:\n- - Are you sad?\n  - Not now.\n  - Sometimes.\n- a line without an answer\n"
    )
    monkeypatch.setattr(chatterbot, "package_folder", lambda *_: tmp_path)
    rows = list(chatterbot_rows())
    assert [(row.turns[0].content, row.turns[1].content) for row in rows] == [
        ("Are you sad?", "Not now."),
        ("Are you sad?", "Sometimes."),
    ]
    assert {row.category for row in rows} == {Category.EMPATHETIC}


@pytest.mark.parametrize("package", ["bfcl_eval", "chatterbot_corpus", "chitchat_dataset"])
def test_installed_packages_are_read(package: str) -> None:
    spec = CorpusSpec(name="it", source=f"wheel:{package}", license="MIT")
    rows = list(islice(stream(spec, seed=1), 50))
    assert len({row.instance_id for row in rows}) == 50


@pytest.mark.slow
def test_all_of_chitchat() -> None:
    everything = list(chats())
    assert len(everything) == 7168
    assert sum(chat.ratings is not None for chat in everything) == 5988
    assert len({turn.sender for chat in everything for turn in chat.turns}) == 1315
