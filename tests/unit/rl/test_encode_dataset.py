"""Dataset versions to ``EncodedEpisodes``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everloop.contracts.datasets import DatasetManifest, DatasetVersion, Exclusions
from everloop.contracts.encoded_file import load_encoded, save_encoded
from everloop.contracts.errors import ShouldFixArgument, ShouldFixEpisode, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from rl.encoders import encode, encode_context, in_holdout
from rl.slates import SlateEvidence

SCHEMA = pa.schema(
    [
        ("episode_id", pa.string()),
        ("person", pa.string()),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("action", pa.string()),
        ("propensity", pa.float64()),
        ("valid_actions", pa.list_(pa.string())),
        ("context", pa.string()),
        ("action_arguments", pa.string()),
        ("model_version", pa.string()),
        ("arm", pa.string()),
        ("closed", pa.bool_()),
    ]
)


def person(i: int) -> str:
    return hashlib.sha256(str(i).encode()).hexdigest()


def episode(i: int, **changes: Any) -> dict[str, Any]:
    return {
        "episode_id": f"00000000-0000-4000-8000-{i:012d}",
        "person": person(i % 3),
        "timestamp": datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC),
        "action": "hive-walk",
        "propensity": 0.25,
        "valid_actions": ["no_action", "hive-walk", "pair-one"],
        "context": json.dumps({"heart_rate": 75, "hour": i}),
        "action_arguments": "{}",
        "model_version": "logging",
        "arm": "active",
        "closed": True,
    } | changes


def reward(row: dict[str, Any], value: float | None, **means: float | None) -> dict[str, Any]:
    columns = {f"mean_{s}": None for s in load("companion").signal_names} | means
    return {
        "episode_id": row["episode_id"],
        "reward": value,
        "outcome": None,
        "signals": 1,
        "closed": True,
        **columns,
        "held": False,
    }


Write = Callable[..., tuple[DatasetVersion, Path]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(
        rows: list[dict[str, Any]],
        rewards: list[dict[str, Any]] | None = None,
        loop: str = "companion",
    ) -> tuple[DatasetVersion, Path]:
        manifest = DatasetManifest(
            dataset_id="0" * 64,
            loop=loop,
            tenant="default",
            logical_date=date(2026, 1, 3),
            window_days=28,
            episode_watermark=len(rows),
            signal_watermark=0,
            consent_revision=0,
            spec_sha256="0" * 64,
            files=(),
            exclusions=Exclusions(),
        )
        dataset = DatasetVersion(tmp_path, manifest)
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), dataset.episodes_path, row_group_size=2)
        if rewards is None:
            rewards = [reward(row, 0.5) for row in rows]
        signals = load("companion").signal_names
        schema = pa.schema(
            [
                ("episode_id", pa.string()),
                ("reward", pa.float64()),
                ("outcome", pa.string()),
                ("signals", pa.int64()),
                ("closed", pa.bool_()),
                *((f"mean_{name}", pa.float64()) for name in signals),
                ("held", pa.bool_()),
            ]
        )
        path = tmp_path / "rewards.parquet"
        pq.write_table(pa.Table.from_pylist(rewards, schema), path)
        return dataset, path

    return _write


@pytest.fixture
def spec() -> LoopSpec:
    return load("companion")


def test_every_column_by_hand(spec: LoopSpec, write: Write) -> None:
    rows = [
        episode(1),
        episode(2, propensity=None, action="no_action", arm="comparison"),
        episode(3, context="{}", person=person(1)),
    ]
    rewards = [
        reward(rows[0], 0.5, mean_engagement=1.0),
        reward(rows[1], None),
        reward(rows[2], -1.0, mean_resonance=-1.0),
    ]
    encoded = encode(spec, *write(rows, rewards))
    assert encoded.episode_id.tolist() == [row["episode_id"] for row in rows]
    assert encoded.people.tolist() == sorted({person(1), person(2)})
    assert [str(encoded.people[p]) for p in encoded.person] == [person(1), person(2), person(1)]
    assert encoded.action.tolist() == [3, 0, 3]
    assert encoded.mask.tolist() == [[True, True, False, True] + [False] * 4] * 3
    np.testing.assert_array_equal(encoded.propensity, [0.25, np.nan, 0.25])
    np.testing.assert_array_equal(encoded.reward, [0.5, np.nan, -1.0])
    np.testing.assert_array_equal(
        encoded.signals, [[1, np.nan, np.nan], [np.nan] * 3, [np.nan, -1, np.nan]]
    )
    assert encoded.comparison.tolist() == [False, True, False]
    assert encoded.holdout.tolist() == [
        in_holdout(str(encoded.people[p]), 0.5) for p in encoded.person
    ]
    moment = datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC).timestamp()
    assert encoded.timestamp.tolist() == [moment] * 3
    np.testing.assert_array_equal(
        encoded.context,
        encode_context(spec, [{"heart_rate": 75, "hour": 1}, {"heart_rate": 75, "hour": 2}, {}]),
    )
    assert encoded.interacting.tolist() == [True] * 6 + [False] * 31


def test_held_episodes_are_in_no_column(spec: LoopSpec, write: Write) -> None:
    rows = [episode(number, person=person(number)) for number in (1, 2, 3, 4)]
    rewards = [reward(row, number / 10) for number, row in enumerate(rows)]
    whole = encode(spec, *write(rows, rewards))
    for number in (0, 2):
        rewards[number] |= {"held": True, "reward": None}
    encoded = encode(spec, *write(rows, rewards))
    kept = [rows[1], rows[3]]
    assert encoded.episode_id.tolist() == [row["episode_id"] for row in kept]
    assert encoded.people.tolist() == sorted(row["person"] for row in kept)
    assert [str(encoded.people[p]) for p in encoded.person] == [row["person"] for row in kept]
    np.testing.assert_array_equal(encoded.reward, [0.1, 0.3])
    place = [1, 3]
    for name in ("context", "action", "mask", "propensity", "signals", "comparison", "timestamp"):
        np.testing.assert_array_equal(getattr(encoded, name), getattr(whole, name)[place], name)
    nobody = encode(spec, *write(rows, [one | {"held": True} for one in rewards]))
    assert (len(nobody), len(nobody.people), nobody.context.shape) == (0, 0, (0, 37))


def test_a_table_that_does_not_say_who_is_held_is_refused(spec: LoopSpec, write: Write) -> None:
    dataset, path = write([episode(1)])
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["held"]), path)
    with pytest.raises(ShouldRestoreArtefact, match="'held'"):
        encode(spec, dataset, path)


def test_the_encoded_file_round_trips(spec: LoopSpec, write: Write, tmp_path: Path) -> None:
    encoded = encode(spec, *write([episode(i) for i in range(5)]))
    loaded = load_encoded(save_encoded(encoded, tmp_path / "encoded.safetensors"))
    assert loaded.encoder == encoded.encoder
    np.testing.assert_array_equal(loaded.context, encoded.context)
    np.testing.assert_array_equal(loaded.mask, encoded.mask)


def test_batches_of_any_size_encode_the_same(
    spec: LoopSpec, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [episode(i, person=person(7 * i % 5)) for i in range(11)]
    held = [reward(row, 0.5) | {"held": i in (2, 7)} for i, row in enumerate(rows)]
    whole = encode(spec, *write(rows, held))
    pseudonyms = np.array([row["person"] for i, row in enumerate(rows) if i not in (2, 7)])
    people, places = np.unique(pseudonyms, return_inverse=True)
    assert whole.people.dtype == people.dtype
    np.testing.assert_array_equal(whole.people, people)
    np.testing.assert_array_equal(whole.person, places)
    monkeypatch.setattr("rl.encoders.dataset._BATCH", 3)
    parts = encode(spec, *write(rows, held))
    for field in dataclasses.fields(whole):
        one, other = getattr(whole, field.name), getattr(parts, field.name)
        np.testing.assert_array_equal(one, other, field.name)
        assert getattr(one, "dtype", None) == getattr(other, "dtype", None)


def test_an_empty_dataset_is_empty_arrays(spec: LoopSpec, write: Write) -> None:
    encoded = encode(spec, *write([]))
    assert len(encoded) == 0
    assert encoded.context.shape == (0, 37)
    assert encoded.mask.shape == (0, 8)
    assert encoded.signals.shape == (0, 3)
    assert len(encoded.training) == 0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"action": "shout"}, "'shout' is not in the catalogue"),
        ({"valid_actions": ["hive-walk", "shout"]}, "'shout' is not in the catalogue"),
        ({"valid_actions": ["no_action"]}, "'hive-walk' is not among valid_actions"),
        ({"valid_actions": None}, "'hive-walk' is not among valid_actions"),
        ({"propensity": 0.0}, "propensity=0 is outside"),
        ({"propensity": 1.5}, "propensity=1.5 is outside"),
        ({"propensity": float("inf")}, "propensity=inf is outside"),
        ({"context": "{"}, "is not JSON"),
        ({"context": "[1]"}, "is not an object"),
        ({"context": '{"heart_rate": NaN}'}, "is not JSON"),
        ({"context": '{"heart_rate": 500}'}, "outside 40..180"),
    ],
)
def test_a_bad_episode_is_refused_by_its_id(
    spec: LoopSpec, write: Write, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ShouldFixEpisode, match=problem) as refused:
        encode(spec, *write([episode(1), episode(2), episode(4, **changes)]))
    assert "00000000-0000-4000-8000-000000000004" in str(refused.value)


def test_rewards_of_another_dataset_are_refused(spec: LoopSpec, write: Write) -> None:
    rows = [episode(1), episode(2)]
    swapped = [reward(rows[1], 0.1), reward(rows[0], 0.2)]
    with pytest.raises(ShouldRestoreArtefact, match="not those of the dataset"):
        encode(spec, *write(rows, swapped))
    with pytest.raises(ShouldRestoreArtefact, match="not those of the dataset"):
        encode(spec, *write(rows, swapped[:1]))


def test_rewards_outside_their_range_are_refused(spec: LoopSpec, write: Write) -> None:
    rows = [episode(1)]
    for bad in (1.5, float("inf"), -2.0):
        with pytest.raises(ShouldRestoreArtefact, match="outside"):
            encode(spec, *write(rows, [reward(rows[0], bad)]))
        with pytest.raises(ShouldRestoreArtefact, match="mean_engagement"):
            encode(spec, *write(rows, [reward(rows[0], 0.1, mean_engagement=bad)]))


def test_missing_and_broken_files_are_named(spec: LoopSpec, write: Write) -> None:
    dataset, rewards = write([episode(1)])
    with pytest.raises(ShouldRestoreArtefact, match=r"absent\.parquet"):
        encode(spec, dataset, rewards.with_name("absent.parquet"))
    pq.write_table(pa.table({"episode_id": ["x"], "reward": [0.1], "held": [False]}), rewards)
    with pytest.raises(ShouldRestoreArtefact, match="lacks the column 'mean_engagement'"):
        encode(spec, dataset, rewards)
    dataset.episodes_path.write_bytes(b"no parquet")
    with pytest.raises(ShouldRestoreArtefact, match="cannot be read"):
        encode(spec, dataset, rewards)


def test_a_dataset_of_another_loop_is_refused(spec: LoopSpec, write: Write) -> None:
    with pytest.raises(ShouldFixArgument, match="belongs to loop 'other'"):
        encode(spec, *write([episode(1)], loop="other"))


def paired(i: int, people: Any, action: str = "pair-three", **more: Any) -> dict[str, Any]:
    said = {"user_ids": ["never", "read"], "descriptors": people} | more
    return episode(
        i,
        action=action,
        valid_actions=["no_action", "pair-one", "pair-three"],
        action_arguments=json.dumps(said),
    )


def test_a_slate_is_the_mean_of_the_suggested_peoples_descriptors(
    spec: LoopSpec, write: Write
) -> None:
    rows = [
        paired(1, [[1, -1], [0.5, 0], [0, 0.25]]),
        paired(2, [[-0.25, 1.0]], "pair-one"),
        paired(3, [[1, 1]], "no_action"),  # suggested nobody
        paired(4, []),
        paired(5, None),
        episode(6, action="pair-one"),  # the product picked, and says nothing of whom
    ]
    slate = encode(spec, *write(rows)).slate
    assert slate is not None
    assert slate.dtype == np.float32
    expected = [[0.5, -0.25], [-0.25, 1.0]] + [[0.0, 0.0]] * 4
    np.testing.assert_allclose(slate, expected, atol=1e-7)


def test_who_was_suggested_and_in_which_order_changes_no_slate(
    spec: LoopSpec, write: Write
) -> None:
    people = [[0.1, -0.7], [0.3, 0.9], [-1, 1]]
    named = encode(spec, *write([paired(1, people)])).slate
    others = encode(spec, *write([paired(1, people[::-1], user_ids=["a", 5, None])])).slate
    assert named is not None
    assert others is not None
    np.testing.assert_allclose(named, others, atol=1e-7)


def test_a_loop_that_declares_no_candidates_has_no_slates(spec: LoopSpec, write: Write) -> None:
    plain = spec.model_copy(update={"candidates": None})
    assert encode(plain, *write([paired(1, "nonsense")])).slate is None
    empty = encode(spec, *write([])).slate
    assert empty is not None
    assert empty.shape == (0, 2)


def test_slates_are_kept_in_the_encoded_file(spec: LoopSpec, write: Write, tmp_path: Path) -> None:
    encoded = encode(spec, *write([paired(1, [[0.5, -0.5]])]))
    loaded = load_encoded(save_encoded(encoded, tmp_path / "encoded.safetensors"))
    assert loaded.slate is not None
    np.testing.assert_array_equal(loaded.slate, encoded.slate)


@pytest.mark.parametrize(
    ("people", "problem"),
    [
        ([[0.5, 0.5], [0.5]], r"\[0\.5\] is not a list of 2 numbers \(sociability, novelty\)"),
        ([[0.5, 0.5, 0.5]], "is not a list of 2 numbers"),
        ([0.5, 0.5], "0.5 is not a list of 2 numbers"),
        ([[0.5, 1.01]], "novelty=1.01 is outside"),
        ([[-1.5, 0.5]], "sociability=-1.5 is outside"),
        ([[0.5, "high"]], "novelty='high' is not a finite number"),
        ([[True, 0.5]], "sociability=True is not a finite number"),
        ([[None, 0.5]], "sociability=None is not a finite number"),
        ([None], "None is not a list"),
        ({"ann": [0.5, 0.5]}, "is not a list"),
        ("0.5", "is not a list"),
    ],
)
def test_descriptors_that_do_not_fit_are_refused_by_their_episode(
    spec: LoopSpec, write: Write, people: Any, problem: str
) -> None:
    with pytest.raises(ShouldFixEpisode, match=problem) as refused:
        encode(spec, *write([paired(1, [[0, 0]]), paired(4, people)]))
    assert "00000000-0000-4000-8000-000000000004" in str(refused.value)


DRAWN = {"scores": [1.0, 0.0, -0.5], "rest": 2.0, "candidates": 9, "epsilon": 0.1}


def drawn(share: Any, **changes: Any) -> dict[str, Any]:
    return paired(4, [[0, 0]] * 3, slate_propensity=share, slate=DRAWN | changes)


def test_a_drawn_slates_propensity_is_recomputed(spec: LoopSpec, write: Write) -> None:
    kept = SlateEvidence((1.0, 0.0, -0.5), 2.0, 9, 0.1)
    share = math.exp(kept.log_propensity)
    slate = encode(spec, *write([drawn(share), drawn(share * (1 + 9e-6)) | episode_id(5)])).slate
    assert slate is not None
    for wrong in (share * (1 + 1.1e-5), share * 0.999, share * 2, 1.0):
        with pytest.raises(ShouldFixEpisode, match="disagrees with the") as refused:
            encode(spec, *write([drawn(wrong)]))
        assert "00000000-0000-4000-8000-000000000004" in str(refused.value)


def episode_id(i: int) -> dict[str, Any]:
    return {"episode_id": episode(i)["episode_id"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": []},
        {"scores": "all"},
        {"scores": None},
        {"rest": None},
        {"rest": "much"},
        {"candidates": 2},
        {"candidates": "nine"},
        {"epsilon": 1.5},
    ],
    ids=str,
)
def test_evidence_of_no_slate_is_refused(
    spec: LoopSpec, write: Write, changes: dict[str, Any]
) -> None:
    with pytest.raises(ShouldFixEpisode, match="recomputes no propensity"):
        encode(spec, *write([drawn(0.01, **changes)]))
    with pytest.raises(ShouldFixEpisode, match="recomputes no propensity"):
        encode(spec, *write([drawn(None)]))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not an object"),
        ('{"descriptors": [[NaN, 0]]}', "not JSON"),
    ],
)
def test_arguments_that_are_no_object_are_refused(
    spec: LoopSpec, write: Write, text: str, problem: str
) -> None:
    with pytest.raises(ShouldFixEpisode, match=problem):
        encode(spec, *write([paired(1, []) | {"action_arguments": text}]))
