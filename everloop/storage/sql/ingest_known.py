"""What is stored of everything that a commit speaks of, asked in one statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from everloop.storage.service_tables import decisions
from everloop.storage.sql.bulk import Bulk
from everloop.storage.sql.ingest_kinds import EPISODES, KINDS, Kind
from everloop.storage.sql.ingest_records import Key, PreparedRecord
from everloop.storage.sql.lookups import Lookup

_DECIDED = ("user_id", "action_taken", "propensity", "model_version")


class Known:
    """Payload checksums, parents and decisions, as the transaction sees them.

    Attributes:
        sha256: kind's name -> (tenant, id) -> checksum of the stored payload.
        parents: kind's name -> (tenant, id) of the stored rows that its records speak of.
        decided: (tenant, id) of an episode -> person, action, propensity and model of the decision
            that has its id.
    """

    def __init__(self, bulk: Bulk, records: Iterable[PreparedRecord]) -> None:
        self.sha256: dict[str, dict[Key, bytes]] = {kind.name: {} for kind in KINDS}
        self.parents: dict[str, set[Key]] = {kind.name: set() for kind in KINDS}
        self.decided: dict[Key, tuple[Any, ...]] = {}
        own, above = _ids(records)
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
        else:
            self.decided.update({(tenant, row_id): row for row_id, row in rows.items()})


_Ids = dict[tuple[Kind, str], list[str]]


def _ids(records: Iterable[PreparedRecord]) -> tuple[_Ids, _Ids]:
    """Ids of the records, and ids that they speak of, by kind and tenant."""
    own: _Ids = defaultdict(list)
    above: _Ids = defaultdict(list)
    for item in records:
        tenant, row_id = item.key
        own[item.kind, tenant].append(row_id)
        if item.kind.parent is not None and (parent := item.row[item.kind.parent[0]]) is not None:
            above[item.kind, tenant].append(parent)
    return own, above
