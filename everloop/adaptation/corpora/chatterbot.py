"""Small talk of chatterbot-corpus (BSD), its English files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from everloop.adaptation.corpora.corpus_row import CorpusRow
from everloop.adaptation.installed import package_folder
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import Message

_CATEGORIES = {
    "coding": Category.TECHNICAL,
    "computers": Category.TECHNICAL,
    "tech_support": Category.TECHNICAL,
    "emotion": Category.EMPATHETIC,
    "psychology": Category.EMPATHETIC,
    "humor": Category.CREATIVE,
    "literature": Category.FACTUAL,
    "history": Category.FACTUAL,
    "science": Category.FACTUAL,
    "trivia": Category.FACTUAL,
    "sports": Category.FACTUAL,
    "movies": Category.FACTUAL,
    "food": Category.FACTUAL,
    "health": Category.SPECIALIZED,
    "money": Category.SPECIALIZED,
}
"""By file; the others are conversational."""


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore")
    conversations: list[list[str | int | float | bool | None] | str]


def chatterbot_rows() -> Iterator[CorpusRow]:
    """A row for every answer that the corpus gives to what was said first.

    Raises:
        ShouldRestoreArtefact: the package is not installed, or a file is another.
    """
    folder = package_folder("chatterbot_corpus", "chatterbot-corpus") / "data" / "english"
    for path in sorted(folder.glob("*.yml")):
        category = _CATEGORIES.get(path.stem, Category.CONVERSATIONAL)
        for number, lines in enumerate(_read(path).conversations):
            if isinstance(lines, str):
                continue  # a line that lost its answer
            said = [str(line).strip() for line in lines if line is not None and str(line).strip()]
            for at, answer in enumerate(said[1:]):
                yield CorpusRow(
                    f"{path.stem}/{number}/{at}",
                    (Message("user", said[0]), Message("assistant", answer)),
                    category,
                )


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError, ValidationError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} is not as expected ({problem}).",
            "Reinstall chatterbot-corpus as the lock file pins it.",
        ) from problem
