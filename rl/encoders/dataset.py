"""A dataset version and its rewards as ``EncodedEpisodes``; streamed, in dataset order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
_NUMBERS = ("timestamp", "action", "propensity", "context", "arm")
"""Columns that become arrays of numbers, beside masks and slates."""


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
    ids: list[pa.Array] = []
    persons: list[pa.Array] = []
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in (*_NUMBERS, "mask", "slate")}
    for batch in _batches(dataset.episodes_path, read):
        _append(spec, encoder, contexts, batch, columns)
        ids.append(batch["episode_id"])
        persons.append(batch["person"])
    # A list of parts goes as soon as it is one array: at no time are there two of everything.
    joined = {name: _join(name, columns.pop(name), spec, encoder) for name in tuple(columns)}
    reward, signals, held = _rewards(spec, rewards_path, pa.chunked_array(ids, pa.string()))
    people, person = _people(pa.chunked_array(persons, pa.string()))
    episode_id = _strings(ids, "U36")
    del ids, persons
    if held.any() and not with_held:
        joined = {
            name: column[~held] for name, column in joined.items() if len(column) == len(held)
        }
        reward, signals, episode_id = reward[~held], signals[~held], episode_id[~held]
        people, person = _those_left(people, person[~held])
    kept = np.array(
        [in_holdout(str(p), spec.thresholds.holdout_share) for p in people], dtype=np.bool_
    )
    return EncodedEpisodes(
        episode_id=episode_id,
        person=person,
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


def _people(persons: pa.ChunkedArray) -> tuple[NDArray[np.str_], Int]:
    """((P,) distinct people, sorted; (n,) each row's place among them)."""
    coded = persons.dictionary_encode().unify_dictionaries()
    if not coded.num_chunks:
        return np.zeros(0, dtype="U64"), np.zeros(0, dtype=np.int64)
    found = _strings([coded.chunk(0).dictionary], "U64")
    order = np.argsort(found, kind="stable")
    place = np.empty(len(found), dtype=np.int64)
    place[order] = np.arange(len(found))
    codes = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in coded.chunks]
    return found[order], place[np.concatenate(codes)]


def _those_left(people: NDArray[np.str_], person: Int) -> tuple[NDArray[np.str_], Int]:
    """The people that rows still name, and the rows' places among those."""
    left, person = np.unique(person, return_inverse=True)
    return people[left], person.astype(np.int64)


def _strings(parts: Sequence[pa.Array], empty: str) -> NDArray[np.str_]:
    """Texts as one array as wide as the longest; of type ``empty`` where there are none."""
    width = max(
        (pc.max(pc.utf8_length(part)).as_py() or 0 for part in parts if len(part)), default=0
    )
    found = np.empty(sum(map(len, parts)), dtype=f"U{width}" if width else empty)
    start = 0
    for part in parts:
        found[start : start + len(part)] = part.to_numpy(zero_copy_only=False)
        start += len(part)
    return found


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


def _rewards(spec: LoopSpec, path: Path, episode_id: pa.ChunkedArray) -> tuple[Float, Float, Bool]:
    """(n,) rewards, (n, S) means, (n,) whether the episode is held."""
    names = ("episode_id", "reward", *(f"mean_{signal}" for signal in spec.signal_names))
    parts = list(_batches(path, (*names, "held")))
    ids = pa.chunked_array([batch["episode_id"] for batch in parts], pa.string())
    if not ids.equals(episode_id):
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
