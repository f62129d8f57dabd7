"""Other ways of asking the same, by rules of English that change no word's meaning.

None of them touches a denial or a number: "don't" stays as it is, and a sentence that denies or counts
keeps its order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from everloop.adaptation.paraphrase_check import denials_in, keeps_meaning, numbers_in

_SHORT = (
    (r"\bI am\b", "I'm"),
    (r"\byou are\b", "you're"),
    (r"\bwe are\b", "we're"),
    (r"\bthey are\b", "they're"),
    (r"\bI will\b", "I'll"),
    (r"\byou will\b", "you'll"),
    (r"\bwe will\b", "we'll"),
    (r"\bthey will\b", "they'll"),
)
"""Said in short before a further word; "that is what I am." cannot be."""
_LONG = (
    *((short, long) for long, short in ((a.replace(r"\b", ""), b) for a, b in _SHORT)),
    ("I've", "I have"),
    ("you've", "you have"),
    ("we've", "we have"),
    ("they've", "they have"),
    ("let's", "let us"),
)
"""Said at length; "it's" and "I'd" are not, since they mean two things each."""
_GREETINGS = ("Hi", "Hello", "Hey")
_GREETING = re.compile(r"(hi|hello|hey)(?: there)?(\s*[,!.]\s*)(?=\S)", re.IGNORECASE)
_PLEASE_FIRST = re.compile(r"please,?\s+([^.!?]+)([.!?]?)", re.IGNORECASE)
_PLEASE_LAST = re.compile(r"([^.!?]+?),?\s+please([.!?]?)", re.IGNORECASE)
_CLAUSES = re.compile(r"(if|when|because)\s+([^,.!?;:]+),\s*([^,.!?;:]+)([.!?]?)", re.IGNORECASE)
_ORDINARY = (
    "can could would will may do does is are what how when where why who which tell show give help explain "
    "write let make find say read send call answer repeat try describe list"
)
_NO_NAMES = frozenset(_ORDINARY.split())
_ENDS = re.compile(r"([!?])\1+")


def variants(text: str) -> tuple[tuple[str, str], ...]:
    """(rule, text) for every rule that changes the text and keeps its meaning, each text once; none of a
    text of several lines, which may be a list, a poem or code."""
    if "\n" in text.strip():
        return ()
    told = " ".join(text.split())
    found: dict[str, str] = {}
    for name, rule in _RULES.items():
        for other in rule(told):
            if _plain(other) not in ("", told) and keeps_meaning(told, other):
                found.setdefault(other, name)
    return tuple((name, other) for other, name in found.items())


def _contracted(text: str) -> Iterator[str]:
    for long, short in _SHORT:
        text = re.sub(long + r"(?=\s+\w)(?!\s+not\b)", _cased(short), text, flags=re.IGNORECASE)
    yield text


def _expanded(text: str) -> Iterator[str]:
    for short, long in _LONG:
        pattern = rf"\b{short.replace(chr(39), '[' + chr(39) + '’]')}\b"
        text = re.sub(pattern, _cased(long), text, flags=re.IGNORECASE)
    yield text


def _greeted(text: str) -> Iterator[str]:
    found = _GREETING.match(text)
    if found:
        rest = text[found.end() :]
        for greeting in _GREETINGS:
            if greeting.casefold() != found.group(1).casefold():
                yield f"{greeting}{found.group(2)}{rest}"
        if len(rest.split()) > 2:
            yield _capital(rest)


def _asked_kindly(text: str) -> Iterator[str]:
    first, last = _PLEASE_FIRST.fullmatch(text), _PLEASE_LAST.fullmatch(text)
    if first and not last:
        yield f"{_capital(first.group(1).strip())}, please{first.group(2)}"
    elif last and not first:
        yield f"Please, {_small(last.group(1).strip())}{last.group(2)}"


def _turned(text: str) -> Iterator[str]:
    found = _CLAUSES.fullmatch(text)
    if found and not denials_in(text) and not numbers_in(text):
        word, condition, rest, end = found.groups()
        if not rest.strip().casefold().startswith("then "):
            yield f"{_capital(rest.strip())} {word.casefold()} {condition.strip()}{end}"


def _punctuated(text: str) -> Iterator[str]:
    yield _ENDS.sub(r"\1", text)
    if text.endswith(".") and text.count(".") == 1:
        yield text[:-1]


def _cased(new: str) -> Callable[[re.Match[str]], str]:
    def put(found: re.Match[str]) -> str:
        return _capital(new) if found.group()[0].isupper() else new

    return put


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _small(text: str) -> str:
    """Only a word that is no name loses its capital."""
    first = text.split(maxsplit=1)[0]
    return text[:1].lower() + text[1:] if first.casefold() in _NO_NAMES else text


def _plain(text: str) -> str:
    return " ".join(text.split())


_RULES: Mapping[str, Callable[[str], Iterator[str]]] = MappingProxyType(
    {
        "contracted": _contracted,
        "expanded": _expanded,
        "clauses": _turned,
        "please": _asked_kindly,
        "greeting": _greeted,
        "punctuation": _punctuated,
    }
)
