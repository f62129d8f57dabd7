"""What is stored of everything that a commit speaks of, asked in one statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from everloop.storage.rollout_tables import deployment_heads
from everloop.storage.service_tables import decisions
from everloop.storage.sql.bulk import Bulk
from everloop.storage.sql.ingest_kinds import DECISIONS, EPISODES, KINDS, Kind
from everloop.storage.sql.ingest_records import Key, Prepared
from everloop.storage.sql.lookups import Lookup

_DECIDED = ("user_id", "action_taken", "propensity", "model_version")


class Known:
    """Payload checksums, parents and decisions, as the transaction sees them.

    Attributes:
        sha256: kind's name -> (tenant, id) -> checksum of the stored payload.
        parents: kind's name -> (tenant, id) of the stored rows that its records speak of.
        decided: (tenant, id) of an episode -> person, action, propensity and model of the decision
            that has its id.
        revisions: (tenant, loop) of a decision -> revision of its head; left out where there is none yet.
    """

    def __init__(self, bulk: Bulk, batch: Iterable[Prepared]) -> None:
        self.sha256: dict[str, dict[Key, bytes]] = {kind.name: {} for kind in KINDS}
        self.parents: dict[str, set[Key]] = {kind.name: set() for kind in KINDS}
        self.decided: dict[Key, tuple[Any, ...]] = {}
        self.revisions: dict[Key, int] = {}
        own, above, under = _ids(batch)
        asked: list[tuple[str, Kind, Lookup]] = []
        for (kind, tenant), ids in own.items():
            look = Lookup(kind.table, kind.key, ("payload_sha256",), tenant, ids)
            asked.append(("own", kind, look))
            if kind is EPISODES:
                asked.append(
                    ("decided", kind, Lookup(decisions, "decision_id", _DECIDED, tenant, ids))
                )
        for (kind, tenant), ids in above.items():
            if kind.parent is not None:
                _, table, key = kind.parent
                asked.append(("above", kind, Lookup(table, key, (), tenant, ids)))
        for tenant, loops in under.items():
            look = Lookup(deployment_heads, "loop", ("revision",), tenant, sorted(loops))
            asked.append(("under", DECISIONS, look))
        answers = bulk.stored([look for _, _, look in asked])
        for (what, kind, look), rows in zip(asked, answers, strict=True):
            self._note(what, kind, look.tenant, rows)

    def _note(
        self, what: str, kind: Kind, tenant: str, rows: Mapping[str, tuple[Any, ...]]
    ) -> None:
        if what == "own":
            self.sha256[kind.name].update(
                {(tenant, row_id): bytes(row[0]) for row_id, row in rows.items()}
            )
        elif what == "above":
            self.parents[kind.name].update((tenant, row_id) for row_id in rows)
        elif what == "under":
            self.revisions.update({(tenant, loop): int(row[0]) for loop, row in rows.items()})
        else:
            self.decided.update({(tenant, row_id): row for row_id, row in rows.items()})


_Ids = dict[tuple[Kind, str], list[str]]


def _ids(batch: Iterable[Prepared]) -> tuple[_Ids, _Ids, dict[str, set[str]]]:
    """Ids of the records, ids that they speak of, by kind and tenant; and each tenant's loops that were
    decided under a revision."""
    own: _Ids = defaultdict(list)
    above: _Ids = defaultdict(list)
    under: dict[str, set[str]] = defaultdict(set)
    for prepared in batch:
        if prepared.submission.decided_under:
            under[prepared.submission.tenant].update(prepared.submission.decided_under)
        for item in prepared.records:
            tenant, row_id = item.key
            own[item.kind, tenant].append(row_id)
            parent = None if item.kind.parent is None else item.row[item.kind.parent[0]]
            if parent is not None:
                above[item.kind, tenant].append(parent)
    return own, above, under
