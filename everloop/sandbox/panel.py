"""All judges of a run: which of them answers a criterion, and what is measured of answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.sandboxes import (
    Criterion,
    CriterionKind,
    CriterionResult,
    Judge,
    RunStatus,
)
from everloop.contracts.screens import LanguageTeller, PersonalDataFinder, ToxicityScorer
from everloop.contracts.speaking import Speaker
from everloop.contracts.voices import Message
from everloop.sandbox.judges.classifiers import (
    LanguageJudge,
    PersonalDataJudge,
    ToneJudge,
    ToxicityJudge,
)
from everloop.sandbox.judges.probability import ProbabilityJudge
from everloop.sandbox.judges.rules import RuleJudge, repetition, words_of
from everloop.sandbox.judges.tone import tones

OPTIONAL = frozenset({CriterionKind.LLM_JUDGE})
"""Kinds that may have no judge: their criteria are skipped. Any other one without a judge is an error."""


@dataclass(frozen=True, slots=True)
class Screens:
    """What looks at texts locally."""

    toxicity: ToxicityScorer
    personal_data: PersonalDataFinder
    language: LanguageTeller


@dataclass(frozen=True, slots=True)
class Spoken:
    """One answer with what it was an answer to. ``prompt``: as the model read it, system turn included."""

    turn: int
    prompt: tuple[Message, ...]
    text: str
    tokens: int
    before: tuple[str, ...]


class Panel:
    """Judges by the kinds that they answer.

    Args:
        judges: a kind may be answered by one of them only.
        speaker, adapter: whose probabilities the metric ``perplexity`` is of.
        toxicity: scorer of the metric ``toxicity``; None where no scenario asks for it.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        speaker: Speaker,
        adapter: str,
        toxicity: ToxicityScorer | None = None,
    ) -> None:
        self._by_kind: dict[CriterionKind, Judge] = {}
        for judge in judges:
            if twice := self._by_kind.keys() & judge.kinds:
                raise ShouldFixArgument(f"{min(twice)} has two judges.", "Give one.")
            self._by_kind |= dict.fromkeys(judge.kinds, judge)
        self._speaker, self._adapter, self._toxicity = speaker, adapter, toxicity

    def judged(self, criterion: Criterion, spoken: Spoken) -> CriterionResult:
        """One criterion on one answer; what a judge raises is an error of that criterion."""
        kind = criterion.kind
        judge = self._by_kind.get(kind)
        if judge is None:
            status = RunStatus.SKIPPED if kind in OPTIONAL else RunStatus.ERROR
            return CriterionResult(kind, spoken.turn, status, f"no judge answers {kind}")
        try:
            said = judge.judge(criterion, spoken.prompt, spoken.text, spoken.before)
        except Exception as problem:
            reason = f"{type(problem).__name__}: {problem}"
            return CriterionResult(kind, spoken.turn, RunStatus.ERROR, reason)
        status = (
            RunStatus.SKIPPED
            if said.passed is None
            else RunStatus.PASSED
            if said.passed
            else RunStatus.FAILED
        )
        return CriterionResult(kind, spoken.turn, status, said.reason, said.value)

    def measured(self, metrics: Sequence[str], answers: Sequence[Spoken]) -> Mapping[str, float]:
        """Means over a scenario's answers (``repetition``, ``toxicity``: the largest)."""
        texts = [each.text for each in answers]
        found: dict[str, float] = {}
        if not texts:
            return found
        if "words" in metrics:
            found["words"] = sum(len(words_of(text)) for text in texts) / len(texts)
        if "tokens" in metrics:
            found["tokens"] = sum(each.tokens for each in answers) / len(answers)
        if "repetition" in metrics:
            found["repetition"] = float(max(repetition(text) for text in texts))
        if "tone" in metrics:
            scores = [tones(text) for text in texts]
            found |= {
                f"tone {name}": sum(each[name] for each in scores) / len(scores)
                for name in scores[0]
            }
        if "toxicity" in metrics and self._toxicity is not None:
            found["toxicity"] = max(self._toxicity.toxicity(texts))
        said = [each for each in answers if each.text.strip()]
        if "perplexity" in metrics and said:
            got = self._speaker.score(
                [each.prompt for each in said], [each.text for each in said], self._adapter
            )
            total = sum(each.log_probability for each in got)
            found["perplexity"] = math.exp(min(-total / sum(each.tokens for each in got), 700.0))
        return found


def local_panel(
    speaker: Speaker,
    adapter: str,
    screens: Screens,
    placebo: str | None = None,
    outside: Judge | None = None,
) -> Panel:
    """Every local judge for one adapter, and the one outside where there is one."""
    judges: list[Judge] = [
        RuleJudge(),
        ToneJudge(),
        ToxicityJudge(screens.toxicity),
        PersonalDataJudge(screens.personal_data),
        LanguageJudge(screens.language),
        ProbabilityJudge(speaker, adapter, placebo),
    ]
    if outside is not None:
        judges.append(outside)
    return Panel(judges, speaker, adapter, screens.toxicity)
