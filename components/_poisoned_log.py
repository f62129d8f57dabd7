"""A copy of a dataset version in which some episodes' signals say what bots would say."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from everloop.contracts.datasets import SIGNALS_FILE, DatasetVersion
from everloop.contracts.loop_spec import LoopSpec
from everloop.rewards.runner import aggregate_and_flag


def held_back(
    spec: LoopSpec, version: DatasetVersion, bots: Collection[str], praised: str
) -> frozenset[str]:
    """Which of the bots' episodes anomaly detection would hold back.

    Each signal that a bot's episode has takes its type's highest value where the praised action was taken
    and its lowest elsewhere; then the rewards stage runs on the copy as it does every night.

    Args:
        spec: the loop.
        version: the dataset version, which is left as it is.
        bots: ids of their episodes.
        praised: id of the action that they praise.
    """
    with tempfile.TemporaryDirectory(prefix="poisoned-") as folder:
        copy = DatasetVersion(Path(folder) / "dataset", version.manifest)
        copy.root.mkdir()
        for file in version.root.iterdir():
            if file.name != SIGNALS_FILE:
                (copy.root / file.name).symlink_to(file.resolve())
        pq.write_table(_signals(spec, version, bots, praised), copy.signals_path)
        _, found = aggregate_and_flag(spec, copy, Path(folder) / "rewards.parquet")
    return frozenset(one.episode_id for one in found) & frozenset(bots)


def _signals(
    spec: LoopSpec, version: DatasetVersion, bots: Collection[str], praised: str
) -> pa.Table:
    """The signals with the bots' values in them, columns and types as they were."""
    ids = pa.array(sorted(bots), pa.string())
    taken = pq.read_table(version.episodes_path, columns=["episode_id", "action"])
    taken = taken.filter(pc.is_in(taken["episode_id"], value_set=ids))
    praise = taken.filter(pc.equal(taken["action"], praised))["episode_id"].combine_chunks()
    signals = pq.read_table(version.signals_path)
    theirs = pc.is_in(signals["episode_id"], value_set=ids).to_numpy()
    praising = pc.is_in(signals["episode_id"], value_set=praise).to_numpy()
    values = signals["value"].to_numpy().astype(np.float64, copy=True)
    for declared in spec.signals:
        kind = pc.equal(signals["signal_type"], declared.name).to_numpy()
        values[theirs & kind] = declared.low
        values[theirs & kind & praising] = declared.high
    place = signals.schema.get_field_index("value")
    return signals.set_column(place, signals.schema.field(place), pa.array(values))
