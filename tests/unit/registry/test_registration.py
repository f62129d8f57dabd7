"""From a training's files to a registered checkpoint."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.documents import sha256_of
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.models import ModelType
from everloop.contracts.ports import BlobStore, Registry
from everloop.registry.identity import NAMESPACE, checkpoint_id
from everloop.registry.registration import EVALUATION, Candidate, register

TRAINED = datetime(2026, 3, 10, 4, tzinfo=UTC)


def test_the_id_is_a_uuid5_of_everything_it_stands_for() -> None:
    made = checkpoint_id(
        "walk", "default", ModelType.INTERVENTION, {"b": "2", "a": "1"}, {"s": "7"}
    )
    text = (
        '{"files":{"a":"1","b":"2"},"lineage":{"s":"7"},"loop":"walk",'
        '"model_type":"intervention","tenant":"default"}'
    )
    assert made == str(uuid.uuid5(NAMESPACE, text))
    assert uuid.UUID(made).version == 5


def test_anything_else_is_another_id() -> None:
    base: dict[str, Any] = {
        "loop": "walk",
        "tenant": "default",
        "model_type": ModelType.INTERVENTION,
        "files": {"a": "1"},
        "lineage": {"seed": "7"},
    }
    changes: list[dict[str, Any]] = [
        {},
        {"loop": "run"},
        {"tenant": "other"},
        {"model_type": ModelType.PAIRING},
        {"files": {"a": "2"}},
        {"files": {"b": "1"}},
        {"lineage": {"seed": "8"}},
    ]
    assert len({checkpoint_id(**(base | change)) for change in changes}) == len(changes)


def test_a_candidate_is_stored_by_content(
    candidate: Candidate, registry: Registry, blobs: BlobStore
) -> None:
    made = register(candidate, registry, blobs)
    assert registry.checkpoint(made.checkpoint_id) == made
    assert made.files == {name: sha256_of(path) for name, path in candidate.files.items()}
    assert made.weights_sha256 == made.files["policy.onnx"]
    assert blobs.fetch(made.weights_url, made.weights_sha256).read_bytes() == b"onnx"
    assert made.lineage.items() >= candidate.lineage.items()
    assert (made.training_date, made.verdict, made.active) == (TRAINED, "continue", False)


def test_registering_again_changes_nothing(
    make_candidate: Any, registry: Registry, blobs: BlobStore
) -> None:
    first = register(make_candidate(), registry, blobs)
    again = register(make_candidate(training_date=TRAINED + timedelta(days=1)), registry, blobs)
    assert again == first
    assert registry.checkpoints("walk") == (first,)


@pytest.mark.parametrize(
    "change", [{"verdict": "hold"}, {"performance_metrics": {"value": 0.5}}], ids=str
)
def test_the_same_weights_judged_anew_are_another_checkpoint(
    make_candidate: Any, registry: Registry, blobs: BlobStore, change: dict[str, Any]
) -> None:
    first = register(make_candidate(), registry, blobs)
    judged = register(make_candidate(**change), registry, blobs)
    assert judged.checkpoint_id != first.checkpoint_id
    assert judged.files == first.files
    assert judged.lineage[EVALUATION] != first.lineage[EVALUATION]
    assert registry.checkpoint(first.checkpoint_id) == first


def test_what_was_not_measured_is_no_metric(
    make_candidate: Any, registry: Registry, blobs: BlobStore
) -> None:
    metrics = {"value": 1, "parity": float("nan"), "bound": float("-inf")}
    made = register(make_candidate(performance_metrics=metrics), registry, blobs)
    assert made.performance_metrics == {"value": 1.0}


def test_a_missing_file_registers_nothing(
    make_candidate: Any, registry: Registry, blobs: BlobStore, tmp_path: Path
) -> None:
    candidate = make_candidate(files={"policy.onnx": tmp_path / "absent.onnx"})
    with pytest.raises(ShouldRestoreArtefact, match=r"absent\.onnx"):
        register(candidate, registry, blobs)
    assert registry.checkpoints("walk") == ()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"served": "policy.pt"}, "policy.pt"),
        ({"files": {}}, "none"),
        ({"lineage": {"dataset": "d", "code": ""}}, "user_model_release, loop_spec, code, encoder"),
        ({"verdict": "promote"}, "promote"),
        ({"training_date": TRAINED.replace(tzinfo=None)}, "time zone"),
    ],
    ids=["served", "files", "lineage", "verdict", "date"],
)
def test_an_incoherent_candidate_is_refused(
    make_candidate: Any, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ShouldFixArgument, match=named):
        make_candidate(**change)
