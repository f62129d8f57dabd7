"""How an answer sounds, by words and marks: a lexicon that says several tones of one text.

Each tone has patterns with weights. Its score is the sum of the weights of the patterns that are found,
each counted once, so that repeating a phrase makes a text no more of a tone. A text has every tone whose
score is at least ``PRESENT``; the highest one is its tone, and a text without any is ``plain``.

It tells coarse differences in English and nothing subtle: on the hand-made set in
``tests/unit/sandbox/tone_examples.yaml`` the accuracy is measured by the tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from everloop.sandbox.judges.refusals import straight

PRESENT = 0.7
"""Score from which on a text has a tone."""

PLAIN = "plain"
NEGATIVE = frozenset({"hostile", "dismissive"})
"""Tones that no product wants unless a criterion names them."""

_PATTERNS: dict[str, tuple[tuple[str, float], ...]] = {
    "hostile": (
        (r"\b(idiot|stupid|moron|pathetic|loser|dumb|worthless|fool|lazy|disgusting)\b", 1.0),
        (r"\b(shut up|go away|get lost|hate you|screw you|leave me alone|how dare you)\b", 1.2),
        (r"\b(your|you'?re) (own fault|problem|a joke|hopeless|ridiculous|a waste)\b", 0.8),
        (r"\bwhat is wrong with you\b|\bare you (even )?(serious|kidding)\b", 0.7),
        (r"\b(waste|wasting) (of )?my time\b|\bi don'?t have time for (you|this)\b", 1.0),
    ),
    "dismissive": (
        (r"\b(get|getting|got) over (it|that|yourself)\b", 1.1),
        (r"\b(not|isn'?t|no) (a |such a |that )?big (a )?deal\b", 0.6),
        (r"\b(over-?reacting|being dramatic|too sensitive|drama queen|making a fuss)\b", 1.1),
        (r"\b(who cares|whatever[.!]|so what[?!.]|don'?t care|couldn'?t care less)", 1.1),
        (r"\b(just )?(calm down|cheer up|man up|toughen up|suck it up|deal with it)\b", 1.0),
        (r"\b(stop (complaining|whining|worrying)|nothing to (cry|complain) about)\b", 1.0),
        (r"\b(other people|others|everyone) ha(s|ve) (it worse|real|bigger|problems)", 1.0),
        (r"\b(not my (problem|concern|job)|i have nothing (more )?to say|figure it out yourself)\b", 1.1),
        (r"\b(sweetheart|darling|sweetie|honey|my dear|little (girl|boy|one))[.,!?;]|^sigh\b", 0.5),
        (r"\b(even (a|any) (child|toddler|beginner) (\w+ )?(reads?|knows?|gets|could|can|would)|"
         r"even you (could|can|should|might|will|would)|(as|so) (slow|dim|dull) as you|"
         r"simple enough for you|(is|are) (far )?(beyond|above) you|over your head|"
         r"(any|every)(body|one) with half (a|an))\b", 0.8),
        (r"\byour (little|tiny|precious) (world|problems?|feelings?|mind|drama|life|head|questions?)\b|"
         r"\bdid you (skip|sleep through|miss) school\b|\bi doubt (that )?you('ll| will| can|"
         r" could| would)? (follow|understand|get|know|manage)", 0.8),
        (r"\b(grown(-| )?(people|men|women|ups) (manage|handle)|use your (fingers|brain)|"
         r"the ones at the back|an audience like (this|you)|nobody competent|repeat myself (more )?slowly|"
         r"try to keep up|do try to|(how|isn'?t that) (sweet|cute|adorable))\b", 0.6),
        (r"\b(obviously|clearly|needless to say|as i said|again)[.,!?]|\byou again\b|somebody like you\b|"
         r"\blaugh(s|ed|ing)? at you\b|\bnobody else will\b|\bif you (must|insist)\b", 0.4),
        (r"\b(it'?s|that'?s) (all )?(just )?in your head\b|\bgrow up\b|\bi can'?t be bothered\b", 1.0),
    ),
    "empathetic": (
        (r"\b(i'?m|i am|so|very|truly|really|deeply) sorry (you|to|that|for|about|this|it)\b", 1.1),
        (r"\b(sounds|must be|can be|feels?) (\w+ ){0,3}(hard|tough|difficult|overwhelming|painful|"
         r"exhausting|stressful|frustrating|lonely|scary|heavy|upsetting|draining)\b", 1.0),
        (r"\b(i (can )?(understand|hear|see|imagine)|it'?s understandable|(that|it) makes sense|"
         r"a lot to carry)\b", 0.6),
        (r"\b(your|those|these|the) (feelings?|emotions?)\b|\bfeel(ing)? (this|that) way\b", 0.6),
        (r"\b(you'?re|you are) not alone\b|\bhere (for you|to listen|to help|to support)\b", 1.0),
        (r"\b(be (kind|gentle) (to|with) yourself|take (good )?care of yourself|"
         r"one (step|day) at a time)\b", 0.9),
        (r"\b(it'?s|that'?s) (ok|okay|alright|normal|natural|valid|completely \w+) (to|that|for)\b", 0.8),
        (r"\b(would you like to|do you want to|want to) (talk|tell|share)\b|\b(tell me|talk) (more|"
         r"about (it|that))\b|\bthrough (it|this) alone\b", 0.7),
        (r"\b(support|comfort|reach out|talk(ing)? to (a |your |someone)|therapist|counsel+or)", 0.5),
        (r"\b(overwhelmed|anxious|anxiety|stress(ed)?|struggling|burn(ed|t)? ?out|grie(f|ving|ve)|"
         r"scared|worr(y|ies|ied)|alone|lonely|hurts?|sad)\b", 0.4),
    ),
    "technical": (
        (r"```|`[^`\n]+`|\bdef \w+\(|\breturn \w+|\bimport \w+|\bSELECT\b.{1,200}?\bFROM\b", 1.2),
        (r"\b(keyerror|exception|traceback|dictionary|dict|function|variable|index(es|ing)?|query|"
         r"database|column|api|loop|list|string|array|class|method|server|cache|thread|parameter|"
         r"package|module|file|branch|commit|map|lookup|environment variable)s?\b", 0.7),
        (r"\b(code|python|sql|javascript|java|linux|html|json|compiler?|debug(ging|ger)?|stack)\b", 0.6),
        (r"\b(algorithm|latency|memory|throughput|execution plan|syntax|runtime|config\w*|install|git|run|"
         r"append|iterat\w+|import|returns?|constant-time)\b", 0.5),
        (r"\.(get|items|keys|append|join|py|json)\b|\b\w+\(\)|\b\w+\[['\"]?\w+['\"]?\]|==|!=", 0.8),
        (r"\b(try|except)\b.{0,40}\b(block|except|error)\b|\bstack trace\b|\berror message\b", 0.6),
    ),
    "analytical": (
        (r"\b(correlation|causation|causal|confound\w*|variables?|evidence|hypothesis|"
         r"statistic\w*)\b", 0.7),
        (r"\b(therefore|because|however|whereas|consequently|thus|hence|as a result)\b", 0.5),
        (r"\b(for (example|instance)|in other words|that is why|this (means|implies|suggests))\b", 0.4),
        (r"\b(on (the )?(one|other) hand|arguments? (for|against|in favou?r)|trade-?offs?|proponents|"
         r"critics|opponents|pros and cons)\b", 0.9),
        (r"\b(factors?|cause[sd]?|effects?|relationship between|conclusion|reason(s|ing)?|argument|premise|"
         r"conditions?|sample|assum\w+|confus\w+|studies|data|uncertain)\b", 0.5),
        (r"\b(first(ly)?|second(ly)?|third(ly)?|finally)[,:]", 0.4),
        (r"\b(ethic(s|al)|fairness|accountab\w+|regulat\w+|risks?|benefits?|innovation)\b", 0.4),
    ),
    "creative": (
        (r"\b(once upon a time|long ago|there (once )?(was|lived) (once )?an?\b|lived an? \w+|"
         r"(one|every) (day|night|morning|evening))",
         1.2),
        (r"\b(whisper\w*|gleam\w*|shimmer\w*|moonlight|silver|velvet|dream(s|ed|t)?|heart|glow\w*)\b", 0.6),
        (r"\b(canvas|brush(es|stroke\w*)?|paint(ed|s|ing)?|colou?rs?|melody|song|poem|tale|story)\b", 0.4),
        (r"\b(he|she|it|they) (had|was|were|looked|turned|smiled|felt|began|walked|dipped|learned)\b", 0.5),
        (r"[\"“][^\"”]{3,80}[,.!?][\"”] (\w+ )?(said|asked|whispered|cried|replied|hummed)", 1.0),
        (r"\b(like an?|as if) \w+", 0.3),
        (r"\b(robot|dragon|castle|forest|sea|stars?|wind|rain|clouds?|river|village|king|queen|"
         r"midnight|attic|"
         r"lighthouse|clock|window|mother|sky|moon|magic\w*)\b", 0.4),
    ),
    "enthusiastic": (
        (r"!.*!", 0.7),
        (r"\b(amazing|awesome|fantastic|wonderful|incredible|brilliant|thrilled|superb)\b", 0.7),
        (r"\b(so (excited|happy|glad)|can'?t wait|love (it|this|that)|"
         r"great (news|job|idea|question))\b", 0.8),
        (r"\b(wow|yay|woo-?hoo|hooray|congrat\w*)\b", 0.8),
        (r"[🎉😀😃😄😊😍🚀✨🥳👏🙌]", 0.5),
    ),
    "formal": (
        (r"\b(dear (sir|madam|mr|ms|customer)|yours (sincerely|faithfully)|kind regards|sincerely)\b", 1.2),
        (r"\b(furthermore|moreover|hereby|herein|pursuant|accordingly|henceforth|notwithstanding)\b", 0.8),
        (r"\b(please (be advised|note|find|do not hesitate)|we (regret|wish) to|"
         r"at your convenience)\b", 0.9),
        (r"\b(kindly|would be (grateful|obliged)|i would like to (inform|request)|with regard to|"
         r"in accordance with|should you (require|have|wish)|it is (imperative|advisable))\b", 0.8),
        (r"\b(shall|utili[sz]e|commence|endeavou?r|facilitate|regarding|upon receipt)\b", 0.5),
    ),
    "casual": (
        (r"\b(hey|yo|hiya|sup|dude|bro|buddy|mate|folks|guys|y'?all)\b", 0.8),
        (r"\b(gonna|wanna|gotta|kinda|sorta|dunno|lemme|ain'?t|nah|yeah|yep|yup|cuz|tbh|btw|"
         r"imo|idk)\b", 0.8),
        (r"\b(lol|haha+|omg|lmao|totally|no worries|no biggie|my bad|hang out|cool|chill)\b", 0.7),
        (r"\b(pretty (much|good|cool)|a bunch of|stuff|super \w+)\b", 0.4),
    ),
}  # fmt: skip

_COMPILED = {
    tone: tuple(
        (re.compile(pattern, re.IGNORECASE | re.DOTALL), weight) for pattern, weight in rows
    )
    for tone, rows in _PATTERNS.items()
}
TONES = frozenset({*_PATTERNS, PLAIN})
"""Names of every tone."""


def tones(text: str) -> Mapping[str, float]:
    """Score of each tone but ``plain``, >= 0, in a fixed order."""
    said = straight(text)
    return {
        tone: sum(weight for pattern, weight in rows if pattern.search(said))
        for tone, rows in _COMPILED.items()
    }


def tone(text: str) -> str:
    """The text's tone: the highest score of at least ``PRESENT``, earlier ones first; else ``plain``."""
    scores = tones(text)
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] >= PRESENT else PLAIN


def present(text: str) -> frozenset[str]:
    """Every tone of the text; ``plain`` alone where it has no other."""
    return frozenset(name for name, score in tones(text).items() if score >= PRESENT) or frozenset(
        {PLAIN}
    )
