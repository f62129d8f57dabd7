"""A registry and a rollout store in memory, as their ports describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from everloop.contracts.errors import ShouldResolveConflict, ShouldRestoreArtefact
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.rollouts import RolloutRecord


def checkpoint(checkpoint_id: str, **changes: Any) -> ModelCheckpoint:
    made = ModelCheckpoint(
        checkpoint_id=checkpoint_id,
        model_type=ModelType.INTERVENTION,
        loop="companion",
        weights_url="blob:x",
        weights_sha256="0" * 64,
        performance_metrics={},
        training_date=datetime(2025, 11, 20, tzinfo=UTC),
        provenance=Provenance.PRIVATE_RELEASE,
        lineage={},
        verdict="continue",
    )
    return replace(made, **changes)


@dataclass
class MemoryRegistry:
    rows: dict[str, ModelCheckpoint] = field(default_factory=dict)
    aliases: dict[tuple[str, str, str], tuple[str | None, int]] = field(default_factory=dict)
    log: list[Mapping[str, str | int | None]] = field(default_factory=list)
    conflicts: int = 0
    """How many of the next compare-and-sets are lost to somebody else."""

    def register(self, row: ModelCheckpoint) -> ModelCheckpoint:
        return self.rows.setdefault(row.checkpoint_id, row)

    def checkpoint(self, checkpoint_id: str) -> ModelCheckpoint:
        if checkpoint_id not in self.rows:
            raise ShouldRestoreArtefact(f"There is no checkpoint {checkpoint_id}.")
        return self.rows[checkpoint_id]

    def checkpoints(self, loop: str, tenant: str = "default") -> tuple[ModelCheckpoint, ...]:
        return tuple(self.rows.values())

    def loops(self, tenant: str = "default") -> tuple[str, ...]:
        return tuple(sorted({row.loop for row in self.rows.values()}))

    def alias(self, loop: str, alias: str, tenant: str = "default") -> tuple[str | None, int]:
        return self.aliases.get((loop, alias, tenant), (None, 0))

    def set_alias(
        self,
        loop: str,
        alias: str,
        checkpoint_id: str | None,
        expected_generation: int,
        reason: str,
        tenant: str = "default",
    ) -> int:
        current, generation = self.alias(loop, alias, tenant)
        if self.conflicts:
            self.conflicts -= 1
            self.aliases[loop, alias, tenant] = (current, generation + 1)
        if self.alias(loop, alias, tenant)[1] != expected_generation:
            raise ShouldResolveConflict(f"generation {expected_generation} is past.")
        self.aliases[loop, alias, tenant] = (checkpoint_id, generation + 1)
        self.log.append({"alias": alias, "checkpoint_id": checkpoint_id, "reason": reason})
        return generation + 1

    def deployment_log(
        self, loop: str, tenant: str = "default"
    ) -> tuple[Mapping[str, str | int | None], ...]:
        return tuple(self.log)


@dataclass
class MemoryRollouts:
    records: list[RolloutRecord] = field(default_factory=list)
    rival: RolloutRecord | None = None
    """Another process's trial, stored between this one's look and its start."""

    def start(self, record: RolloutRecord) -> RolloutRecord:
        if self.rival:
            self.records.append(self.rival)
            self.rival = None
        for known in self.records:
            if known.rollout_id == record.rollout_id:
                return known
        taken = any(
            r.state == "started" and (r.loop, r.tenant) == (record.loop, record.tenant)
            for r in self.records
        )
        if record.state == "started" and taken:
            record = replace(record, state="waiting", traffic_percent=0.0)
        self.records.append(record)
        return record

    def end(self, rollout_id: str, reason: str, tenant: str = "default") -> RolloutRecord:
        for index, known in enumerate(self.records):
            if (known.rollout_id, known.tenant) == (rollout_id, tenant):
                ended = replace(known, state="ended", reasons=(reason, *known.reasons))
                self.records[index] = replace(ended, traffic_percent=0.0)
                return self.records[index]
        raise KeyError(rollout_id)

    def rollouts(self, loop: str, tenant: str = "default") -> tuple[RolloutRecord, ...]:
        mine = [r for r in self.records if (r.loop, r.tenant) == (loop, tenant)]
        return tuple(reversed(mine))


@pytest.fixture
def make_checkpoint() -> Any:
    return checkpoint


@pytest.fixture
def registry() -> MemoryRegistry:
    rows = {name: checkpoint(name) for name in ("one", "two")}
    return MemoryRegistry(rows)


@pytest.fixture
def store() -> MemoryRollouts:
    return MemoryRollouts()
