"""The judge outside, where a specification names one: its key and its model."""

from __future__ import annotations

import os
from dataclasses import dataclass

from everloop.contracts.errors import ShouldProvideKey

JUDGE_KEY = "EVERLOOP_JUDGE_KEY"
JUDGE_MODEL = "EVERLOOP_JUDGE_MODEL"


@dataclass(frozen=True, slots=True)
class JudgeAccess:
    """What a judge's address is asked with."""

    key: str
    model: str


def judge_access() -> JudgeAccess:
    """The key and the model's name (``judge`` where it is not given).

    Raises:
        ShouldProvideKey: there is no key.
    """
    key = os.environ.get(JUDGE_KEY, "").strip()
    if not key:
        raise ShouldProvideKey(
            f"voice.sandbox.llm_judge names a judge, and {JUDGE_KEY} is empty.",
            f"Set {JUDGE_KEY}, or take the address out.",
        )
    return JudgeAccess(key, os.environ.get(JUDGE_MODEL, "").strip() or "judge")
