"""No tag and nothing about an example ever stands in its text: the voice reads what people read.

A voice that learned from ``<persona:counsellor>`` would wait for it; one that read a pseudonym might say
it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from everloop.contracts.errors import ShouldStayInside
from everloop.contracts.voices import TrainingDataInstance

LEAST_MARK = 8
"""Characters from which a value is told from ordinary words; a licence named MIT is not."""
_NAMES = r"(?:persona|style|tone|emotion|trait|category|source|mode|archetype|role)"
_TAG = re.compile(
    r"<\|[^<>|\s]{1,64}\|>"  # what chat templates mark turns with
    rf"|<\s{{0,3}}/?\s{{0,3}}{_NAMES}\s{{0,3}}[:=][^<>]{{0,200}}>"
    rf"|\[\s{{0,3}}{_NAMES}\s{{0,3}}[:=][^\[\]]{{0,200}}\]"
    r"|\b_(?:category|source)\b"
    r"|\[/?INST\]|<</?SYS>>|</?s>",
    re.IGNORECASE,
)


def tag_in(instance: TrainingDataInstance) -> str:
    """The first tag, or the first of the example's ids, pseudonyms and metadata, in its texts; "" where
    there is none.

    Values shorter than ``LEAST_MARK`` are no marks, and neither are metadata that are one plain word:
    nothing tells them from what people write.
    """
    marks = tuple(_marks(instance))
    for text in texts_of(instance):
        found = _TAG.search(text)
        if found:
            return found.group()
        for mark in marks:
            if mark in text:
                return mark
    return ""


def require_no_tags(instance: TrainingDataInstance) -> None:
    """Refuse an example whose texts hold a tag.

    Raises:
        ShouldStayInside: naming the example and the tag.
    """
    tag = tag_in(instance)
    if tag:
        raise ShouldStayInside(
            f"Training instance {instance.instance_id} holds {tag[:80]!r} in a text.",
            "Leave it out: ids, tags and metadata never reach the text.",
        )


def texts_of(instance: TrainingDataInstance) -> tuple[str, ...]:
    """Every text of an example: its prompt's turns, its completion, and the rejected one."""
    rejected = () if instance.rejected is None else (instance.rejected,)
    return (*(turn.content for turn in instance.prompt), instance.completion, *rejected)


def _marks(instance: TrainingDataInstance) -> Iterator[str]:
    ids = (instance.instance_id, *instance.source_ids, instance.user_id, instance.parent)
    yield from (name for name in ids if name is not None and len(name) >= LEAST_MARK)
    for value in instance.metadata.values():
        if isinstance(value, str) and len(value) >= LEAST_MARK and not value.isalpha():
            yield value
