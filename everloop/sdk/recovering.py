"""Teach a restored workspace what was spent since its backup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import LedgerRow, Recovered
from everloop.wiring import Workspace


def recover_ledger(place: Workspace, actor: str, tenant: str = "default") -> Recovered:
    """Replay the journal into the ledger; what changed is audited.

    Raises:
        ShouldRepairLedger, ShouldProvideKey: as ``Ledger.recover`` does.
    """

    def exists(url: str, sha256: str) -> bool:
        try:
            place.blobs.fetch(url, sha256)
        except ShouldRestoreArtefact:
            return False
        return True

    done = place.ledger.recover(exists)
    if done.rows or done.found_outputs:
        place.audit.append(tenant, actor, "privacy.recover", "the journal's rows", done.rows)
    return done


def charge_everyone(
    place: Workspace,
    loops: Sequence[LoopSpec],
    tenant: str,
    since: date,
    until: date,
    actor: str,
) -> tuple[LedgerRow, ...]:
    """Charge everyone the most that some nights can have cost, and write that into the audit log.

    Raises:
        ShouldFixArgument, ShouldRepairLedger: as ``Ledger.charge_everyone`` does.
    """
    pipelines = {f"{spec.name}/{tenant}": spec for spec in loops}
    made = place.ledger.charge_everyone(pipelines, since, until)
    for row in made:
        place.audit.append(
            tenant,
            actor,
            "privacy.charge_everyone",
            f"{row.pipeline} {since} to {until}",
            row.people,
        )
    return made
