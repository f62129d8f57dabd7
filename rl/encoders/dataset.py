"""A dataset version and its rewards as ``EncodedEpisodes``; streamed, in dataset order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from everloop.contracts.contexts import ContextOpener, plain
from everloop.contracts.datasets import Bool, DatasetVersion, EncodedEpisodes, Float, Int
from everloop.contracts.episodes import Arm
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixEpisode,
    ShouldRestoreArtefact,
)
from everloop.contracts.loop_spec import LoopSpec
from rl.encoders.context import ContextEncoder, encoder_of
from rl.encoders.slates import slates

_BATCH = 8192
_COLUMNS = (
    "episode_id",
    "person",
    "timestamp",
    "action",
    "propensity",
    "valid_actions",
    "context",
    "arm",
)
_ARGUMENTS = "action_arguments"


def in_holdout(pseudonym: str, holdout_share: float) -> bool:
    """Whether a person's episodes are kept from training: the same answer for ever, on any machine."""
    return int(pseudonym[:8], 16) % 10_000 < holdout_share * 10_000


def encode(
    spec: LoopSpec,
    dataset: DatasetVersion,
    rewards_path: Path,
    contexts: ContextOpener = plain,
    with_held: bool = False,
) -> EncodedEpisodes:
    """Encode the episodes of a dataset version with their aggregated rewards.

    Those that the table marks as held are left out: they teach nothing and judge nothing, by no column.
    A trial's measurement, which must not select by what came of an arm, asks for them too.

    Args:
        spec: the loop; its catalogue orders the actions, its signals the signal columns.
        dataset: the episodes.
        rewards_path: the reward table of that dataset, in the same order.
        contexts: opens sealed health fields.
        with_held: keep held episodes, with the rewards that the table has of them.

    Raises:
        ShouldFixEpisode: an episode that the specification does not allow, by id.
        ShouldRestoreArtefact: a missing or unreadable file, or rewards of another dataset.
        ShouldFixArgument: a dataset of another loop.
    """
    if dataset.manifest.loop != spec.name:
        raise ShouldFixArgument(
            f"Dataset {dataset.manifest.dataset_id} belongs to loop {dataset.manifest.loop!r}, "
            f"not {spec.name!r}.",
            "Pass the specification that it was extracted under.",
        )
    encoder = encoder_of(spec)
    read = _COLUMNS if spec.candidates is None else (*_COLUMNS, _ARGUMENTS)
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in (*_COLUMNS, "mask", "slate")}
    for batch in _batches(dataset.episodes_path, read):
        _append(spec, encoder, contexts, batch, columns)
    joined = {name: _join(name, parts, spec, encoder) for name, parts in columns.items()}
    reward, signals, held = _rewards(spec, rewards_path, joined["episode_id"])
    if held.any() and not with_held:
        joined = {
            name: column[~held] for name, column in joined.items() if len(column) == len(held)
        }
        reward, signals = reward[~held], signals[~held]
    people, person = np.unique(joined["person"], return_inverse=True)
    kept = np.array(
        [in_holdout(str(p), spec.thresholds.holdout_share) for p in people], dtype=np.bool_
    )
    return EncodedEpisodes(
        episode_id=joined["episode_id"],
        person=person.astype(np.int64),
        people=people,
        context=joined["context"],
        interacting=encoder.interacting,
        action=joined["action"],
        mask=joined["mask"],
        propensity=joined["propensity"],
        reward=reward,
        signals=signals,
        holdout=kept[person] if len(person) else np.zeros(0, dtype=np.bool_),
        comparison=joined["arm"],
        timestamp=joined["timestamp"],
        encoder=encoder.layout.encoder,
        slate=None if spec.candidates is None else joined["slate"],
    )


def _batches(path: Path, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            lacking = sorted(set(columns) - set(file.schema_arrow.names))
            if lacking:
                raise ShouldRestoreArtefact(
                    f"{path} lacks the column {lacking[0]!r}.", "Rerun the stage that writes it."
                )
            yield from file.iter_batches(batch_size=_BATCH, columns=list(columns))
    except (OSError, pa.ArrowException) as problem:
        raise ShouldRestoreArtefact(
            f"{path} cannot be read ({problem}).", "Rerun the stage that writes it."
        ) from problem


def _append(
    spec: LoopSpec,
    encoder: ContextEncoder,
    contexts: ContextOpener,
    batch: pa.RecordBatch,
    columns: dict[str, list[NDArray[Any]]],
) -> None:
    ids = batch["episode_id"].to_pylist()

    def name(row: int) -> str:
        return f"Episode {ids[row]}"

    action = _positions(batch["action"], spec, lambda row: row, name)
    propensity = _floats(batch["propensity"])
    wrong = ~np.isnan(propensity) & ~((propensity > 0.0) & (propensity <= 1.0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ShouldFixEpisode(
            f"{name(row)}: propensity={propensity[row]:g} is outside (0, 1].",
            "Log the probability of the chosen action, exploration included.",
        )
    columns["episode_id"].append(np.array(ids, dtype=np.str_))
    columns["person"].append(np.array(batch["person"].to_pylist(), dtype=np.str_))
    columns["timestamp"].append(_seconds(batch["timestamp"]))
    columns["action"].append(action)
    columns["propensity"].append(propensity)
    columns["mask"].append(_masks(batch["valid_actions"], spec, action, name))
    columns["context"].append(encoder.encode(_opened(batch, contexts, name), name))
    columns["arm"].append(
        np.array([arm == Arm.COMPARISON for arm in batch["arm"].to_pylist()], dtype=np.bool_)
    )
    if spec.candidates is not None:
        columns["slate"].append(
            slates(spec.actions, spec.candidates, batch[_ARGUMENTS], action, name)
        )


def _join(
    name: str, parts: list[NDArray[Any]], spec: LoopSpec, encoder: ContextEncoder
) -> NDArray[Any]:
    if parts:
        return np.concatenate(parts)
    empty: dict[str, NDArray[Any]] = {
        "context": np.zeros((0, encoder.layout.width), dtype=np.float32),
        "mask": np.zeros((0, len(spec.actions)), dtype=np.bool_),
        "action": np.zeros(0, dtype=np.int64),
        "arm": np.zeros(0, dtype=np.bool_),
        "episode_id": np.zeros(0, dtype="U36"),
        "person": np.zeros(0, dtype="U64"),
        "slate": np.zeros((0, _descriptors(spec)), dtype=np.float32),
    }
    return empty.get(name, np.zeros(0))


def _descriptors(spec: LoopSpec) -> int:
    return 0 if spec.candidates is None else len(spec.candidates.descriptors)


def _floats(column: pa.Array) -> Float:
    """Null becomes NaN."""
    filled = pc.fill_null(column.cast(pa.float64()), float("nan"))
    numbers: Float = filled.to_numpy(zero_copy_only=False)
    return numbers.astype(np.float64)


def _seconds(column: pa.Array) -> Float:
    micros: Int = (
        column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(zero_copy_only=False)
    )
    return micros / 1e6


def _positions(column: pa.Array, spec: LoopSpec, row_of: Any, name: Any) -> Int:
    """Catalogue position of each action id; refuses one that is not in the catalogue."""
    found = pc.index_in(column, value_set=pa.array(spec.action_ids, column.type))
    if found.null_count:
        where = int(np.argmax(found.is_null().to_numpy(zero_copy_only=False)))
        raise ShouldFixEpisode(
            f"{name(row_of(where))}: action {column[where].as_py()!r} is not in the catalogue of "
            f"loop {spec.name!r}.",
            "Add the action to the specification or leave the episode out.",
        )
    positions: Int = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return positions


def _masks(column: pa.ListArray, spec: LoopSpec, action: Int, name: Any) -> Bool:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(column)), lengths)
    mask = np.zeros((len(column), len(spec.actions)), dtype=np.bool_)
    mask[rows, _positions(column.flatten(), spec, lambda i: int(rows[i]), name)] = True
    allowed = mask[np.arange(len(action)), action]
    if not allowed.all():
        row = int(np.argmin(allowed))
        raise ShouldFixEpisode(
            f"{name(row)}: action {spec.action_ids[action[row]]!r} is not among valid_actions.",
            "Log the mask that was used.",
        )
    return mask


def _opened(batch: pa.RecordBatch, contexts: ContextOpener, name: Any) -> list[Any]:
    opened = []
    pairs = zip(batch["episode_id"].to_pylist(), batch["context"].to_pylist(), strict=True)
    for row, (episode_id, text) in enumerate(pairs):
        try:
            context = orjson.loads(text)
        except (TypeError, ValueError) as problem:
            raise ShouldFixEpisode(
                f"{name(row)}: the context is not JSON ({problem}).", "Log an object."
            ) from None
        opened.append(contexts(episode_id, context) if isinstance(context, dict) else context)
    return opened


def _rewards(spec: LoopSpec, path: Path, episode_id: NDArray[np.str_]) -> tuple[Float, Float, Bool]:
    """(n,) rewards, (n, S) means, (n,) whether the episode is held."""
    names = ("episode_id", "reward", *(f"mean_{signal}" for signal in spec.signal_names))
    parts = list(_batches(path, (*names, "held")))
    ids = [str(value) for batch in parts for value in batch["episode_id"].to_pylist()]
    if ids != episode_id.tolist():
        raise ShouldRestoreArtefact(
            f"{path} holds {len(ids)} rewards that are not those of the dataset's "
            f"{len(episode_id)} episodes, in their order.",
            "Aggregate the rewards of this dataset again.",
        )
    numbers = np.zeros((len(ids), len(names) - 1))
    for column, key in enumerate(names[1:]):
        if parts:
            numbers[:, column] = np.concatenate([_floats(batch[key]) for batch in parts])
    wrong = np.isinf(numbers) | (np.abs(np.nan_to_num(numbers)) > 1.0 + 1e-9)
    if wrong.any():
        row, column = (int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
        raise ShouldRestoreArtefact(
            f"{path}: {names[column + 1]} of episode {ids[row]} is {numbers[row, column]:g}, "
            "outside [-1, 1].",
            "Aggregate the rewards again.",
        )
    held = np.array([one for batch in parts for one in batch["held"].to_pylist()], dtype=np.bool_)
    return np.clip(numbers[:, 0], -1.0, 1.0), np.clip(numbers[:, 1:], -1.0, 1.0), held
