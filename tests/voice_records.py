"""Small packages, training instances, model versions and persona graphs for tests of storage."""

from __future__ import annotations

from typing import Any

from everloop.contracts.canonical import canonical_bytes
from everloop.contracts.personas import PersonaRevision
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import (
    LearningTask,
    Message,
    ModelVersion,
    SourceType,
    TrainingDataInstance,
    UserDataPackage,
    VersionStatus,
    instance_id_of,
)
from tests.log_records import ANN, NOON, uuid_of


def package(number: int = 1, **changes: Any) -> UserDataPackage:
    values: dict[str, Any] = {
        "package_id": uuid_of(number, "package"),
        "user_id": ANN,
        "timestamp": NOON,
        "origin": "email",
        "texts": (f"I wrote letter {number}", "ärgerlich \x00 \U0001f600"),
        "replies": (("how are you?", "splendid"),),
        "persona": "friend",
    }
    return UserDataPackage(**(values | changes))


def instance(number: int = 1, source: str | None = None, **changes: Any) -> TrainingDataInstance:
    """A correction; ``source``: by default the feedback of that number."""
    values: dict[str, Any] = {
        "source_type": SourceType.FEEDBACK,
        "source_ids": (source or uuid_of(number, "feedback"),),
        "task": LearningTask.SFT,
        "prompt": (Message("user", f"question {number}"),),
        "completion": f"answer {number}",
        "user_id": ANN,
        "weight": 0.5,
        "category": Category.EMPATHETIC,
        "metadata": {"language": "en", "score": 0.25},
    } | changes
    made = instance_id_of(
        values.get("tenant", "default"),
        values["task"],
        values["prompt"],
        values["completion"],
        values.get("rejected"),
        values.get("liked"),
        values["source_ids"],
    )
    return TrainingDataInstance(**({"instance_id": made} | values))


def corpus_row(number: int = 1, **changes: Any) -> TrainingDataInstance:
    return instance(
        number,
        f"corpus:own/{number}",
        **({"source_type": SourceType.CORPUS, "user_id": None} | changes),
    )


def version(number: int = 1, **changes: Any) -> ModelVersion:
    values: dict[str, Any] = {
        "model_id": uuid_of(number, "model"),
        "persona": "friend",
        "base_model_name": "tiny",
        "version_number": 1,
        "creation_date": NOON,
        "training_references": (),
        "performance_metrics": {"effect": 0.125},
        "status": VersionStatus.EXPERIMENTAL,
    }
    return ModelVersion(**(values | changes))


def graph(*exemplars: tuple[str, str, str | None], **changes: Any) -> bytes:
    """Canonical JSON of a graph; exemplars as (answer, feedback, person)."""
    said = [
        {"asked": "how are you?", "answered": answer, "source_id": source, "user_id": person}
        for answer, source, person in exemplars
    ]
    told: dict[str, Any] = {
        "persona": "friend",
        "traits": [{"name": "warmth", "value": 0.5, "recent": [0.25], "moved": 0.0}],
        "exemplars": said,
        "memory": [],
        "user_id": None,
        "tenant": "default",
        "schema_version": 1,
    }
    return canonical_bytes(told | changes)


def revision(number: int = 1, content: bytes | None = None, **changes: Any) -> PersonaRevision:
    values: dict[str, Any] = {
        "persona": "friend",
        "content": graph() if content is None else content,
        "cause": f"cause {number}",
        "reason": "somebody asked",
        "recorded_at": NOON,
    }
    return PersonaRevision(number, **(values | changes))
