"""How abusive a text is, by the linear classifier of alt-profanity-check.

Its files are pickles, so only bytes whose checksum is known are unpickled; the package itself, which
unpickles on import whatever lies there, is never imported.

It errs on the side of leaving out: above .5 are 3 % of the turns of friendly chats ("That's crazy"), and
nine of ten insults hidden in a page of kind text. It knows words, not what is meant by them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from everloop.adaptation.installed import verified_bytes
from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldRestoreArtefact

REQUIREMENT = "alt-profanity-check"
FILES = {
    "profanity_check/data/model.joblib": "rq_ASEnU2T20chzzCobr8iCFWVKUuKB9UZGOf6mPU4s",
    "profanity_check/data/vectorizer.joblib": "GcUgDcakHwJuBVji8WT1_o2PWOUCtGs35DhQN_z6SDE",
}
"""Of version 1.9.1; SHA-256 as its wheel's RECORD writes it."""
_SENTENCE = re.compile(r"(?<=[.!?\n])\s+")


class ProfanityScorer:
    """Scores texts; a text is as abusive as its worst sentence, so that length dilutes nothing.

    Raises:
        ShouldRestoreArtefact: the package is missing, or one of its files is not the known one.
    """

    def __init__(self) -> None:
        model, vectorizer = (_load(file, sha256) for file, sha256 in FILES.items())
        parts = model.calibrated_classifiers_
        self._vectorizer = vectorizer
        self._weights = np.vstack([part.estimator.coef_[0] for part in parts]).T
        self._offsets = np.array([part.estimator.intercept_[0] for part in parts])
        self._slopes = np.array([part.calibrators[0].a_ for part in parts])
        self._shifts = np.array([part.calibrators[0].b_ for part in parts])

    def toxicity(self, texts: Sequence[str]) -> tuple[float, ...]:
        """Scores in [0, 1], in the order given; an empty text scores 0."""
        pieces = [
            [part for part in (text, *_SENTENCE.split(text)) if part.strip()] for text in texts
        ]
        flat = [piece for parts in pieces for piece in parts]
        if not flat:
            return (0.0,) * len(texts)
        scores = iter(self._probabilities(flat).tolist())
        return tuple(max((float(next(scores)) for _ in parts), default=0.0) for parts in pieces)

    def _probabilities(self, texts: Sequence[str]) -> Float:
        """(n,): mean over the calibrated machines of 1 / (1 + exp(a f + b)), Platt's; what
        ``predict_proba`` gives, whose checks of its arguments take longer than its sums."""
        margins = self._vectorizer.transform(texts) @ self._weights + self._offsets
        found: Float = (1.0 / (1.0 + np.exp(self._slopes * margins + self._shifts))).mean(axis=1)
        return found


def _load(file: str, sha256: str) -> Any:
    data = verified_bytes(REQUIREMENT, file, sha256)
    import joblib

    try:
        return joblib.load(io.BytesIO(data))
    except Exception as problem:  # unpickling may raise anything where scikit-learn has changed
        raise ShouldRestoreArtefact(
            f"{file} of {REQUIREMENT} cannot be loaded ({problem}).",
            "Install the versions of scikit-learn and alt-profanity-check that the lock file pins.",
        ) from problem
