"""Conversations that everloop's authors wrote: a training corpus, and the golden set that judges.

Nothing of the golden set is ever learned from; a test holds the two against each other, near-duplicates
included.
"""

from __future__ import annotations

from functools import cache

from everloop.adaptation.corpora.own_files import GOLDEN_FILE
from everloop.adaptation.corpora.streaming import stream
from everloop.contracts.voice_spec import CorpusSpec
from everloop.contracts.voices import TrainingDataInstance

LICENSE = "Apache-2.0"


@cache
def golden_set() -> tuple[TrainingDataInstance, ...]:
    """The golden set's conversations, in their order.

    Raises:
        ShouldRestoreArtefact: the file is missing from the installation.
    """
    spec = CorpusSpec(name="golden", source=str(GOLDEN_FILE), license=LICENSE)
    return tuple(stream(spec, seed=0))
