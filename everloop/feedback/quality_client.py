"""Evidence from client facts: missing, automated, contradictory, or changing within a session."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from everloop.contracts.episodes import Json
from everloop.feedback.quality_evidence import Evidence, Family
from everloop.feedback.quality_timeline import Event

DECLARED = 4.5
"""A client that says it is a machine is believed."""

_AUTOMATED = re.compile(
    r"headless|phantomjs|slimerjs|selenium|webdriver|puppeteer|playwright|cypress|nightmare|jsdom"
    r"|python-requests|python-urllib|python-httpx|aiohttp|\bhttpx\b|httpie|\bcurl/|\bwget\b|scrapy"
    r"|libwww-perl|mechanize|postmanruntime|insomnia/|go-http-client|crawler|\bspider|(?<!cu)bot\b",
    re.IGNORECASE,
)
_RELAYED = re.compile(
    r"node-fetch|\baxios/|\bundici|guzzle|apache-httpclient|\bjava/", re.IGNORECASE
)
"""Libraries of programs that may pass a person's feedback on."""
_AGENTS = 1024
"""Client facts whose reading is remembered."""
_FLAGS = ("webdriver", "headless", "automation", "automated", "is_bot", "bot")
_AGENT_KEYS = ("user_agent", "userAgent", "user-agent", "ua")
_DEVICE_KEYS = ("device_type", "deviceType", "device")
_BROWSER_KEYS = ("browser", "browser_info", "browserInfo", "browser_name")
_NAMES = {"chrome": ("chrome", "crios"), "firefox": ("firefox", "fxios"), "safari": ("safari",)}
_VERSIONS = re.compile(r"[\d._]+")
_HANDHELD = re.compile(r"iphone|android.*mobile|\bmobile safari", re.IGNORECASE)


def client(events: Sequence[Event]) -> Iterator[Evidence]:
    """Every piece of evidence that client facts give."""
    facts = [event.given.client for event in events]
    newest = facts[-1]
    declared = [name for name in map(_declared, facts) if name]
    if declared:
        seen = f"client says it is {declared[-1]!r}"
        yield Evidence(Family.CLIENT, "automated_client", DECLARED, seen)
    relayed = [each for each in map(agent, facts) if _is_relayed(each)]
    if relayed:
        seen = f"sent by a program: {relayed[-1][:40]!r}"
        yield Evidence(Family.CLIENT, "program_as_client", 1.5, seen)
    yield from _missing(newest)
    yield from _contradiction(newest)
    yield from _changing(facts)


def agent(facts: Mapping[str, Json]) -> str:
    """The user agent, empty when unknown."""
    return _fact(facts, _AGENT_KEYS)


def fingerprint(facts: Mapping[str, Json]) -> str:
    """What stays the same when a browser updates itself."""
    parts = (agent(facts), _fact(facts, _DEVICE_KEYS), _fact(facts, _BROWSER_KEYS))
    return _VERSIONS.sub("#", "|".join(parts)).lower()


def _missing(facts: Mapping[str, Json]) -> Iterator[Evidence]:
    told = agent(facts)
    if not any(_told(value) for value in facts.values()):
        yield Evidence(Family.CLIENT, "no_client_facts", 1.0, "nothing is known of the client")
    elif not told:
        yield Evidence(Family.CLIENT, "no_user_agent", 0.4, "the user agent is missing")
    elif len(told) < 15:
        yield Evidence(Family.CLIENT, "bare_user_agent", 0.8, f"user agent is only {told!r}")


def _contradiction(facts: Mapping[str, Json]) -> Iterator[Evidence]:
    told = agent(facts).lower()
    if not told.startswith("mozilla"):
        return
    device = _fact(facts, _DEVICE_KEYS).lower()
    if device == "desktop" and _HANDHELD.search(told):
        yield Evidence(Family.CLIENT, "contradictory_facts", 0.8, "a phone that is a desktop")
        return
    browser = _fact(facts, _BROWSER_KEYS).lower()
    for name, marks in _NAMES.items():
        if name in browser and not any(mark in told for mark in marks):
            seen = f"browser {name} without its mark in the user agent"
            yield Evidence(Family.CLIENT, "contradictory_facts", 0.8, seen)
            return


def _changing(facts: Sequence[Mapping[str, Json]]) -> Iterator[Evidence]:
    prints = [fingerprint(each) for each in facts if any(_told(v) for v in each.values())]
    kinds = len(set(prints))
    if kinds >= 2:
        changes = sum(a != b for a, b in pairwise(prints))
        weight = min(0.5 + 1.3 * (kinds - 2) + 0.25 * max(0, changes - 2), 5.0)
        seen = f"{kinds} different clients in one session"
        yield Evidence(Family.CLIENT, "changing_client", weight, seen)


def _declared(facts: Mapping[str, Json]) -> str:
    for name, value in facts.items():
        if value is True and name.lower() in _FLAGS:
            return name
        for text in _strings(value):
            found = _automated(text)
            if found:
                return found
    return ""


@lru_cache(_AGENTS)
def _automated(text: str) -> str:
    found = _AUTOMATED.search(text)
    return found.group() if found else ""


@lru_cache(_AGENTS)
def _is_relayed(told: str) -> bool:
    return _RELAYED.search(told) is not None


def _fact(facts: Mapping[str, Json], names: Sequence[str]) -> str:
    for name in names:
        strings = _strings(facts.get(name))
        if strings:
            return " ".join(strings)
    return ""


def _strings(value: Json) -> list[str]:
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _strings(each)]
    return []


def _told(value: Json) -> bool:
    return value is not None and value not in ("", {}, [])
