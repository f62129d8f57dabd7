"""What BigQuery keeps of the log: one typed definition from which schemas and statements are made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from everloop.contracts.errors import ShouldFixArgument


class Kind(StrEnum):
    """BigQuery's types that the mirror uses."""

    STRING = "STRING"
    INT64 = "INT64"
    FLOAT64 = "FLOAT64"
    BOOL = "BOOL"
    TIMESTAMP = "TIMESTAMP"

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that is loaded into it without loss."""
        return {
            Kind.STRING: pa.string(),
            Kind.INT64: pa.int64(),
            Kind.FLOAT64: pa.float64(),
            Kind.BOOL: pa.bool_(),
            Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
        }[self]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; JSON is kept as its canonical text, which BigQuery's JSON type would not keep."""

    name: str
    kind: Kind
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the dataset.

    Attributes:
        columns: the tenant first, as in the workspace's database.
        number: the column of ingest numbers; tenant and number name a row. Empty for a table that holds
            no rows of the log.
        watermark: the column of ``STATE`` that says up to which number the table is complete.
        key: a column of ids, whose characters a comparison of the two sides adds up.
        compared: columns that a comparison adds up besides the key, where the same key may come with
            something else.
        changing: a text column that an erasure may rewrite; empty where rows are only ever deleted.
        partition: the column by whose day rows lie together.
        clustering: columns that rows are sorted by within a day.
    """

    name: str
    columns: tuple[Column, ...]
    number: str = ""
    watermark: str = ""
    key: str = ""
    compared: tuple[str, ...] = ()
    changing: str = ""
    partition: str = ""
    clustering: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = {column.name for column in self.columns}
        named = {self.number, self.key, self.changing, self.partition, *self.clustering}
        named = named.union(self.compared) - {""}
        if not named <= known:
            raise ShouldFixArgument(
                f"Table {self.name} has no column {sorted(named - known)}.", "Declare it."
            )
        if len(self.clustering) > 4:
            raise ShouldFixArgument(
                f"Table {self.name} is clustered by {len(self.clustering)} columns.",
                "BigQuery clusters by four at most.",
            )

    @property
    def summed(self) -> tuple[Column, ...]:
        """The columns that a comparison adds up, the key first."""
        known = {column.name: column for column in self.columns}
        return tuple(known[name] for name in (self.key, *self.compared))

    @property
    def arrow(self) -> pa.Schema:
        """The schema of the Parquet files that are loaded into it."""
        return pa.schema([pa.field(c.name, c.kind.arrow, c.nullable) for c in self.columns])


def _columns(kind: Kind, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name in names)


EPISODES = Table(
    "training_episodes",
    (
        *_columns(Kind.STRING, "tenant", "episode_id"),
        Column("seq", Kind.INT64),
        *_columns(Kind.STRING, "loop", "user_id"),
        Column("timestamp", Kind.TIMESTAMP),
        Column("action_taken", Kind.STRING),
        Column("propensity", Kind.FLOAT64, nullable=True),
        *_columns(Kind.STRING, "arm", "model_version", "valid_actions"),
        *_columns(Kind.STRING, "action_arguments", "context_snapshot"),
    ),
    number="seq",
    watermark="episodes",
    key="episode_id",
    changing="action_arguments",
    partition="timestamp",
    clustering=("tenant", "loop", "user_id"),
)
SIGNALS = Table(
    "reward_signals",
    (
        *_columns(Kind.STRING, "tenant", "signal_id"),
        Column("seq", Kind.INT64),
        *_columns(Kind.STRING, "episode_id", "loop"),
        Column("episode_at", Kind.TIMESTAMP),
        Column("signal_type", Kind.STRING),
        Column("value", Kind.FLOAT64),
        Column("latency", Kind.INT64),
        Column("confidence", Kind.FLOAT64),
    ),
    number="seq",
    watermark="signals",
    key="signal_id",
    partition="episode_at",
    clustering=("tenant", "loop", "episode_id"),
)
"""``loop`` and ``episode_at`` are the episode's: a window of episodes reads the signals of its days."""
CONSENTS = Table(
    "consents",
    (
        Column("tenant", Kind.STRING),
        Column("revision", Kind.INT64),
        *_columns(Kind.STRING, "user_id", "purpose"),
        Column("granted", Kind.BOOL),
        Column("recorded_at", Kind.TIMESTAMP),
    ),
    number="revision",
    watermark="revisions",
    key="user_id",
    compared=("purpose", "granted", "recorded_at"),
    clustering=("tenant", "purpose"),
)
DISPUTES = Table(
    "disputes",
    (
        Column("tenant", Kind.STRING),
        Column("revision", Kind.INT64),
        *_columns(Kind.STRING, "signal_id", "status"),
        Column("recorded_at", Kind.TIMESTAMP),
    ),
    number="revision",
    watermark="revisions",
    key="signal_id",
    compared=("status", "recorded_at"),
    clustering=("tenant", "signal_id"),
)
REVIEWS = Table(
    "episode_reviews",
    (
        Column("tenant", Kind.STRING),
        Column("revision", Kind.INT64),
        *_columns(Kind.STRING, "review_id", "kind", "episode_id", "state"),
    ),
    number="revision",
    watermark="reviews",
    key="review_id",
    compared=("kind", "episode_id", "state"),
    clustering=("tenant", "episode_id"),
)
"""Every change of a review, with what the review is about; who decided and why is not mirrored."""
MIRRORED = (EPISODES, SIGNALS, CONSENTS, DISPUTES, REVIEWS)
WATERMARKS = ("episodes", "signals", "revisions", "reviews")

STATE = Table(
    "mirror_state",
    (
        Column("tenant", Kind.STRING),
        Column("generation", Kind.INT64),
        Column("pseudonym_key", Kind.STRING),
        Column("erasures", Kind.INT64),
        *_columns(Kind.INT64, *WATERMARKS),
        Column("tail", Kind.STRING),
        Column("synced_at", Kind.TIMESTAMP, nullable=True),
    ),
)
"""How far each tenant's rows have come. Every change of a mirrored table raises ``generation`` from the
value that it was computed at, in the same transaction, or does not happen."""

STAGE = "stage_"
"""What names of tables begin with that are deleted once their rows are where they belong."""
STAGE_HOURS = 24
"""A stage that its process was killed beside expires after so many hours."""


def stage_prefix(tenant: str) -> str:
    """What the names of a tenant's stages begin with."""
    return f"{STAGE}{hashlib.sha256(tenant.encode()).hexdigest()[:12]}_"


def tables_of(watermark: str) -> tuple[Table, ...]:
    """The mirrored tables that one watermark speaks of."""
    return tuple(table for table in MIRRORED if table.watermark == watermark)
