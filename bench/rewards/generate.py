"""Make the inputs: ``python -m bench.rewards.generate FOLDER SIGNALS SEED``."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

SIGNALS_PER_EPISODE = 10
_DAY_US = 86_400_000_000


def generate(folder: Path, signals: int, seed: int) -> None:
    """Ten signals an episode on average, in random order, of three types, up to a day late."""
    episodes = max(signals // SIGNALS_PER_EPISODE, 1)
    folder.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        config={"memory_limit": "3GB", "temp_directory": str(folder / "spill")}
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"CREATE MACRO uuid_of(kind, i) AS CAST(md5(kind || {seed} || i) AS UUID)::VARCHAR"
    )
    connection.execute(f"CREATE MACRO draw(kind, i, below) AS hash(kind || {seed}, i) % below")
    connection.execute(f"""
        COPY (
          SELECT uuid_of('e', i) AS episode_id, sha256('p' || i // 5) AS person,
            TIMESTAMPTZ '2024-05-01 00:00:00+00' + to_microseconds(i * {_DAY_US // episodes}) AS timestamp,
            'no_action' AS action, 0.5::DOUBLE AS propensity, ['no_action', 'pair-one'] AS valid_actions,
            '{{}}' AS context, '{{}}' AS action_arguments, 'logged' AS model_version,
            CASE WHEN draw('a', i, 10) = 0 THEN 'comparison' ELSE 'active' END AS arm,
            draw('c', i, 10) < 9 AS closed
          FROM range({episodes}) AS t(i) ORDER BY timestamp, episode_id
        ) TO '{folder}/episodes.parquet' (FORMAT parquet, COMPRESSION zstd)""")
    connection.execute(f"""
        COPY (
          SELECT uuid_of('s', i) AS signal_id, uuid_of('e', draw('w', i, {episodes})) AS episode_id,
            ['engagement', 'resonance', 'explicit_feedback'][1 + draw('t', i, 3)::INT] AS signal_type,
            draw('v', i, 100001) / 100000 AS value, draw('l', i, 86400)::BIGINT AS latency,
            draw('k', i, 101) / 100 AS confidence
          FROM range({signals}) AS t(i) ORDER BY signal_id
        ) TO '{folder}/signals.parquet' (FORMAT parquet, COMPRESSION zstd)""")


if __name__ == "__main__":
    generate(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
