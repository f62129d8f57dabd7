"""People's own texts as examples of how they speak.

A reply answers what was said to them. A text that stood alone is continued from its own beginning, or
written under its own title: the prompt's words are theirs, but for the request itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from everloop.adaptation.categorising import UNNAMED
from everloop.adaptation.instances import Learned
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    UserDataPackage,
    instance_id_of,
)

PASSAGE = 800
"""Characters of a passage at most, where a sentence ends by then."""
LEAST_WORDS = 3
"""Of what is to be learned."""
_WORDS_TO_CUT = 12
"""Words from which a single sentence is parted."""
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n\s*\n")
_QUOTED = re.compile(
    r"^\s*>|^\s*On .{1,200} wrote:\s*$|^-{2,} ?(?:Original|Forwarded) ", re.IGNORECASE
)
_SIGNATURE = re.compile(r"^-- ?$")
_SUBJECT = re.compile(r"\A\s*Subject:[ \t]*(\S[^\n]{0,199})\n")
_TITLE = re.compile(r"\A\s*([^\W\d_a-z][^\n]{2,79}[^\s.,;:!?…])[ \t]*\n[ \t]*\n")
_GREETING = re.compile(r"(?:hi|hello|hey|dear|good (?:morning|evening|afternoon))\b", re.IGNORECASE)


def learned_of_package(package: UserDataPackage, weight: float) -> Learned:
    """The examples of one package; the reason is ``too_short`` where no text is long enough.

    Args:
        weight: the person's reliability, in (0, 1]: what they wrote is theirs as a correction is.
    """
    made: dict[str, TrainingDataInstance] = {}
    for said, written in package.replies:
        answer = own_words(written)
        if said.strip() and answer:
            _add(made, package, said.strip(), answer, weight)
    for text in package.texts:
        for request, rest in requests_of(own_words(text)):
            _add(made, package, request, rest, weight)
    return Learned(tuple(made.values()), "" if made else "too_short")


def own_words(text: str) -> str:
    """A text without the lines that quote somebody else, and without a signature."""
    kept: list[str] = []
    for line in text.splitlines():
        if _SIGNATURE.match(line):
            break
        if not _QUOTED.search(line):
            kept.append(line)
    return "\n".join(kept).strip()


def requests_of(text: str) -> Iterator[tuple[str, str]]:
    """(request, what was written) for each passage of a text, in order.

    ``Write about: <its title>`` where it has one (a subject line, or a first line of its own that ends
    without punctuation), else ``Continue this text: <its beginning>``: its first sentence, or the first
    third of the words of a single long one.
    """
    title, body = _titled(text)
    for number, passage in enumerate(_passages(body)):
        if title and number == 0 and _is_enough(passage):
            yield f"Write about: {title}", passage
            continue
        beginning, rest = _parted(passage)
        if _is_enough(rest):
            yield f"Continue this text: {beginning}", rest


def _titled(text: str) -> tuple[str, str]:
    for pattern in (_SUBJECT, _TITLE):
        found = pattern.match(text)
        if found and not _GREETING.match(found.group(1)):
            return found.group(1).strip(), text[found.end() :].strip()
    return "", text


def _passages(text: str) -> Iterator[str]:
    """Whole sentences up to ``PASSAGE`` characters; a longer sentence is a passage of its own."""
    start = end = 0
    for cut in (*(found.end() for found in _SENTENCE_END.finditer(text)), len(text)):
        if cut - start > PASSAGE and end > start:
            yield text[start:end].strip()
            start = end
        end = cut
    if text[start:].strip():
        yield text[start:].strip()


def _parted(passage: str) -> tuple[str, str]:
    found = _SENTENCE_END.search(passage)
    if found:
        return passage[: found.start()].strip(), passage[found.end() :].strip()
    words = list(re.finditer(r"\S+", passage))
    if len(words) < _WORDS_TO_CUT:
        return passage, ""
    cut = words[len(words) // 3].start()
    return passage[:cut].strip(), passage[cut:].strip()


def _is_enough(text: str) -> bool:
    return len(text.split()) >= LEAST_WORDS


def _add(
    made: dict[str, TrainingDataInstance],
    package: UserDataPackage,
    request: str,
    written: str,
    weight: float,
) -> None:
    prompt = (Message("user", request),)
    sources = (package.package_id,)
    name = instance_id_of(package.tenant, LearningTask.SFT, prompt, written, None, None, sources)
    made[name] = TrainingDataInstance(
        instance_id=name,
        source_type=SourceType.NEW_DATA,
        source_ids=sources,
        task=LearningTask.SFT,
        prompt=prompt,
        completion=written,
        user_id=package.user_id,
        weight=weight,
        category=Category.CONVERSATIONAL,
        metadata={"origin": package.origin, **UNNAMED},
        tenant=package.tenant,
    )
