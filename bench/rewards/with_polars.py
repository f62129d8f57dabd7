"""The reward table by polars: ``python -m bench.rewards.with_polars FOLDER OUT``."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import polars as pl

from everloop.contracts.loop_spec import LoopSpec, Silence
from everloop.loops import load


def write_table(spec: LoopSpec, folder: Path, out: Path) -> None:
    """Lazy scans on the streaming engine, one group-by of conditional sums."""
    c = (
        pl.col("confidence")
        * (pl.col("latency") * (-math.log(2) / spec.reward.half_life_seconds)).exp()
    )
    kind = pl.lit(None, dtype=pl.Int8)
    for position, name in enumerate(spec.signal_names):
        of_type = pl.col("signal_type") == name
        kind = pl.when(of_type).then(pl.lit(position, dtype=pl.Int8)).otherwise(kind)
    two_sided = [s.name for s in spec.signals if s.two_sided]
    v = (
        pl.when(pl.col("signal_type").is_in(two_sided))
        .then(2 * pl.col("value") - 1)
        .otherwise("value")
    )
    signals = (
        pl.scan_parquet(folder / "signals.parquet")
        .select("episode_id", kind=kind, c=c, v=v)
        .with_columns(cv=pl.col("c") * pl.col("v"))
    )
    sums = [pl.len().alias("signals"), pl.col("v").var().alias("variance")]
    columns = {}
    for position, s in enumerate(spec.signals):
        of_type = pl.col("kind") == position
        columns[f"c_{s.name}"] = pl.when(of_type).then("c")
        columns[f"cv_{s.name}"] = pl.when(of_type).then("cv")
        sums += [pl.col(f"c_{s.name}").sum(), pl.col(f"cv_{s.name}").sum()]
        if s.silence is Silence.ZERO:
            sums.append(pl.col(f"c_{s.name}").count().alias(f"n_{s.name}"))
    heard = signals.with_columns(**columns).group_by("episode_id").agg(sums)
    means = {}
    for s in spec.signals:
        weight = pl.col(f"c_{s.name}")
        mean: pl.Expr = pl.when(weight > 0).then(pl.col(f"cv_{s.name}") / weight)
        if s.silence is Silence.ZERO:
            silent = pl.col("closed") & (pl.col(f"n_{s.name}").fill_null(0) == 0)
            mean = pl.when(silent).then(0.0).otherwise(mean)
        means[f"mean_{s.name}"] = mean
    total = pl.sum_horizontal(s.weight * pl.col(f"mean_{s.name}") for s in spec.signals)
    weights = pl.sum_horizontal(
        pl.when(pl.col(f"mean_{s.name}").is_not_null()).then(s.weight) for s in spec.signals
    )
    reward = pl.col("reward")
    outcome = (
        pl.when(reward >= spec.reward.success_at)
        .then(pl.lit("success"))
        .when(reward <= spec.reward.failure_at)
        .then(pl.lit("failure"))
        .when(reward.is_not_null())
        .then(pl.lit("neutral"))
    )
    (
        pl.scan_parquet(folder / "episodes.parquet")
        .select("episode_id", "closed")
        .join(heard, on="episode_id", how="left", maintain_order="left")
        .with_columns(pl.col("signals").fill_null(0).cast(pl.Int64), **means)
        .with_columns(reward=pl.when(weights > 0).then((total / weights).clip(-1, 1)))
        .select(
            "episode_id",
            "reward",
            outcome.alias("outcome"),
            "signals",
            "closed",
            "variance",
            *means,
        )
        .sink_parquet(out, compression="zstd", compression_level=1, engine="streaming")
    )


if __name__ == "__main__":
    write_table(load("companion"), Path(sys.argv[1]), Path(sys.argv[2]))
