"""Which episodes teach nothing, because something is strange about them and nobody has released them.

An episode is held while any of its reviews is open or rejected, and from the run that first finds it
strange. Who was released for one kind of suspicion stays released for it, however often it is found again;
another kind is another question. What was decided comes from the dataset version alone, so the same
version holds the same episodes for ever.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.oversight import ReviewKind, ReviewState
from everloop.rewards.engine import quoted
from everloop.rewards.suspicion import Suspicion

Reviews = Mapping[tuple[str, ReviewKind], ReviewState]
"""(episode, kind) -> what people had said when the version was pinned."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What becomes of strange episodes.

    Attributes:
        found: what this version's evidence makes strange, decided or not.
        unreviewed: of these, what no review is about yet: it belongs into the queue.
        held: episodes that teach and judge nothing.
        rejected: of these, the ones that a person rejected.
        released: episodes that a person released and nothing else holds.
    """

    found: tuple[Suspicion, ...] = ()
    unreviewed: tuple[Suspicion, ...] = ()
    held: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    released: frozenset[str] = frozenset()


def reviews_of(dataset: DatasetVersion) -> Reviews:
    """What people had said of the version's episodes.

    Raises:
        ShouldRestoreArtefact: the file is missing, unreadable or says what nobody can.
    """
    path = dataset.reviews_path
    if path is None:
        return {}
    try:
        rows = pq.read_table(path, columns=["episode_id", "kind", "state"]).to_pylist()
        return {
            (row["episode_id"], ReviewKind(row["kind"])): ReviewState(row["state"]) for row in rows
        }
    except (OSError, ValueError) as problem:  # Arrow's errors are either
        raise ShouldRestoreArtefact(
            f"{path} cannot be read ({problem}).", "Extract the dataset again."
        ) from problem


def holding(found: Iterable[Suspicion], reviews: Reviews) -> Holding:
    """Who is held.

    Args:
        found: at most one suspicion of each episode and kind.
    """
    found = tuple(found)
    unreviewed = tuple(one for one in found if (one.episode_id, one.kind) not in reviews)
    by_state: dict[ReviewState, set[str]] = {state: set() for state in ReviewState}
    for (episode_id, _), state in reviews.items():
        by_state[state].add(episode_id)
    rejected = by_state[ReviewState.REJECTED]
    held = by_state[ReviewState.OPEN] | rejected | {one.episode_id for one in unreviewed}
    return Holding(
        found,
        unreviewed,
        frozenset(held),
        frozenset(rejected),
        frozenset(by_state[ReviewState.RELEASED] - held),
    )


def withhold(
    connection: duckdb.DuckDBPyConnection,
    table: Path,
    held: frozenset[str],
    form: str,
    emptied: bool = True,
) -> None:
    """Take reward, outcome and means from the held episodes of a reward table, and mark them.

    Args:
        connection: whose view ``rewards`` reads ``table``.
        held: episodes; none leaves the table as it is.
        form: of the file, as DuckDB's COPY takes it.
        emptied: False marks them and takes nothing.
    """
    if not held:
        return
    names = [row[0] for row in connection.execute("DESCRIBE rewards").fetchall()]
    taken = [
        name
        for name in names
        if emptied and (name in {"reward", "outcome"} or name.startswith("mean_"))
    ]
    listed = json.dumps(sorted(held))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE held AS SELECT unnest("
        f"from_json({quoted(listed)}, '[\"VARCHAR\"]')) AS episode_id"
    )
    replaced = ", ".join([*(f'if(h, NULL, "{name}") AS "{name}"' for name in taken), "h AS held"])
    rows = (
        f"SELECT * EXCLUDE (h, file_row_number) REPLACE ({replaced}) FROM ("  # noqa: S608
        "SELECT *, episode_id IN (SELECT episode_id FROM held) AS h FROM rewards) "
        "ORDER BY file_row_number"
    )
    handle, name = tempfile.mkstemp(dir=table.parent, prefix=f".{table.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        connection.execute(f"COPY ({rows}) TO {quoted(str(temporary))} ({form})")
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(table)
    finally:
        temporary.unlink(missing_ok=True)
