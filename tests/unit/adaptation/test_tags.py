"""No tag, id, pseudonym or metadata in any text: what is found, and what rendered texts hold."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Template

from everloop.adaptation.tags import require_no_tags, tag_in, texts_of
from everloop.contracts.errors import ShouldStayInside
from everloop.contracts.voices import LearningTask, Message
from tests.tiny_voice import TEMPLATE
from tests.voice_records import instance

ID = "0b9c6d58-9d5f-4b0e-8c3e-4a5b1d2f6e90"


@pytest.mark.parametrize(
    "text",
    [
        "<persona:empathetic_counselor>\nHow do I deal with anxiety?",
        "</ persona = calm >",
        "<STYLE: formal> hello",
        "[tone: warm] hello",
        '{"_category": "technical"}',
        "_source: chitchat",
        "<|im_start|>system",
        "<|endoftext|>",
        "[INST] hello [/INST]",
        "<<SYS>>",
        "hello</s>",
    ],
)
def test_tags_are_found_wherever_they_stand(text: str) -> None:
    places: list[dict[str, Any]] = [
        {"prompt": (Message("system", text), Message("user", "hi"))},
        {"prompt": (Message("user", f"hi {text}"),)},
        {"completion": text},
        {"task": LearningTask.PREFERENCE, "rejected": text},
    ]
    for changes in places:
        assert tag_in(instance(**changes))
        with pytest.raises(ShouldStayInside, match="holds"):
            require_no_tags(instance(**changes))


@pytest.mark.parametrize(
    "text",
    [
        "my data_source is a list, data_category a set",
        "a < b and b > c: persona",
        "<div class='persona'>hello</div> <https://example.org>",
        "Category: technical. The role of persona in tone, style = 2.",
        "[see the source] array[mode]",
        "if a <|b| then",
    ],
)
def test_ordinary_texts_hold_none(text: str) -> None:
    require_no_tags(instance(completion=text))


@pytest.mark.parametrize(
    "changes",
    [
        {"source_ids": (ID,)},
        {"user_id": "c" * 64},
        {"parent": ID},
        {"metadata": {"corpus": "own_voice_2"}},
        {"metadata": {"license": "Apache-2.0"}},
    ],
)
def test_what_is_known_of_an_example_is_found_in_its_text(changes: dict[str, Any]) -> None:
    (value,) = changes.values()
    told = (
        value if isinstance(value, str) else next(iter(getattr(value, "values", lambda: value)()))
    )
    assert tag_in(instance(completion=f"said {told} once", **changes)) == told
    assert tag_in(instance(completion="said nothing of it", **changes)) == ""


def test_values_that_are_ordinary_words_are_no_marks() -> None:
    metadata = {"license": "MIT", "language": "en", "feedback_type": "correction", "score": 0.25}
    require_no_tags(instance(completion="MIT, when a correction is 0.25", metadata=metadata))


_WORDS = st.text(string.ascii_letters + " .,!?", min_size=1, max_size=60).filter(str.strip)
_MARK = st.text(string.ascii_lowercase + "-_", min_size=8, max_size=20).map(lambda t: f"{t}7")


_TEMPLATE = Template(TEMPLATE)


def rendered(turns: tuple[Message, ...]) -> str:
    """Through a chat template as a tokenizer carries it."""
    told = [{"role": turn.role, "content": turn.content} for turn in turns]
    return str(_TEMPLATE.render(messages=told))


@given(_WORDS, _WORDS, _WORDS, st.dictionaries(_MARK, _MARK, max_size=3), _MARK)
def test_what_passes_renders_without_a_tag_or_a_mark(
    asked: str, wanted: str, rejected: str, metadata: dict[str, str], source: str
) -> None:
    made = instance(
        task=LearningTask.PREFERENCE,
        prompt=(Message("user", asked),),
        completion=wanted,
        rejected=rejected,
        metadata=metadata,
        source_ids=(source,),
    )
    require_no_tags(made)
    for answer in (made.completion, rejected):
        text = rendered((*made.prompt, Message("assistant", answer)))
        for mark in (*metadata.values(), *made.source_ids, str(made.user_id), made.instance_id):
            assert mark not in text
        assert "_category" not in text
        assert "_source" not in text
    planted = instance(prompt=(Message("user", f"{asked}{source}{wanted}"),), source_ids=(source,))
    assert tag_in(planted) == source
    assert texts_of(made) == (asked, wanted, rejected)
