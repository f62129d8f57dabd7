"""The reward table by pandas: ``python -m bench.rewards.with_pandas FOLDER OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from everloop.contracts.loop_spec import LoopSpec, Silence
from everloop.loops import load


def write_table(spec: LoopSpec, folder: Path, out: Path) -> None:
    """Only the needed columns, read by pyarrow; one group-by of conditional sums."""
    pa.set_cpu_count(1)
    signals = pd.read_parquet(
        folder / "signals.parquet",
        columns=["episode_id", "signal_type", "value", "latency", "confidence"],
    )
    c = signals["confidence"] * np.exp2(-signals["latency"] / spec.reward.half_life_seconds)
    kind = signals["signal_type"].astype("category")
    two_sided = kind.isin([s.name for s in spec.signals if s.two_sided])
    v = signals["value"].where(~two_sided, 2 * signals["value"] - 1)
    frame = pd.DataFrame(
        {"episode_id": signals["episode_id"], "signals": np.int8(1), "variance": v}
    )
    del signals
    how = {"signals": "size", "variance": "var"}
    for s in spec.signals:
        frame[f"c_{s.name}"] = c.where(kind == s.name)
        frame[f"cv_{s.name}"] = frame[f"c_{s.name}"] * v
        how |= {f"c_{s.name}": "sum", f"cv_{s.name}": "sum"}
        if s.silence is Silence.ZERO:
            frame[f"n_{s.name}"] = kind == s.name
            how[f"n_{s.name}"] = "sum"
    heard = frame.groupby("episode_id", sort=False).agg(how)
    del frame, c, v, kind, two_sided
    table = pd.read_parquet(folder / "episodes.parquet", columns=["episode_id", "closed"])
    table = table.join(heard, on="episode_id")
    total, weights = np.zeros(len(table)), np.zeros(len(table))
    for s in spec.signals:
        weight = table[f"c_{s.name}"]
        mean = (table[f"cv_{s.name}"] / weight).where(weight > 0)
        if s.silence is Silence.ZERO:
            mean = mean.mask(table["closed"] & (table[f"n_{s.name}"].fillna(0) == 0), 0.0)
        table[f"mean_{s.name}"] = mean
        total += np.where(mean.notna(), s.weight * mean, 0.0)
        weights += np.where(mean.notna(), s.weight, 0.0)
    reward = pd.Series(
        np.divide(total, weights, out=np.full(len(table), np.nan), where=weights > 0)
    )
    reward = reward.clip(-1.0, 1.0)
    words = np.select(
        [reward >= spec.reward.success_at, reward <= spec.reward.failure_at, reward.notna()],
        ["success", "failure", "neutral"],
        default="",
    )
    table["reward"] = reward
    table["outcome"] = pd.Series(words, dtype="str").mask(reward.isna())
    table["signals"] = table["signals"].fillna(0).astype("int64")
    names = [f"mean_{s.name}" for s in spec.signals]
    order = ["episode_id", "reward", "outcome", "signals", "closed", "variance", *names]
    table[order].to_parquet(out, compression="zstd", compression_level=1, index=False)


if __name__ == "__main__":
    write_table(load("companion"), Path(sys.argv[1]), Path(sys.argv[2]))
