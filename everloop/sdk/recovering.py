"""Teach a restored workspace what was spent since its backup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import LedgerRow, Recovered
from everloop.wiring import Workspace

_DEFAULT = "default"


def recover_ledger(place: Workspace, actor: str, tenant: str = _DEFAULT) -> Recovered:
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
    place.people.finish()  # erasures that the ledger's journal may be told now
    if done.rows or done.found_outputs:
        place.audit.append(tenant, actor, "privacy.recover", "the journal's rows", done.rows)
    return done


def charge_everyone(
    place: Workspace,
    loops: Sequence[LoopSpec],
    tenants: Sequence[str],
    since: date,
    until: date,
    actor: str,
) -> tuple[LedgerRow, ...]:
    """Charge everyone the most that some nights can have cost, and write that into the audit log.

    A loop is charged for in every tenant in which the ledger has a release of it, and in those named.

    Args:
        loops: the loosest specification since the backup of every loop that may have run.
        tenants: in which each loop may have run without the ledger knowing; by default the default tenant,
            for loops of which the ledger knows nothing.

    Raises:
        ShouldFixArgument, ShouldRepairLedger: as ``Ledger.charge_everyone`` does; or a loop is given
            twice.
    """
    twice = [spec.name for spec in loops if sum(one.name == spec.name for one in loops) > 1]
    if twice:
        raise ShouldFixArgument(f"Loop {twice[0]} is given twice.", "Give its loosest file alone.")
    known = sorted({row.pipeline for row in place.ledger.history()})
    pipelines: dict[str, LoopSpec] = {}
    for spec in loops:
        own = [pipeline for pipeline in known if pipeline.rpartition("/")[0] == spec.name]
        named = [f"{spec.name}/{tenant}" for tenant in tenants]
        pipelines |= dict.fromkeys((*own, *named) or (f"{spec.name}/{_DEFAULT}",), spec)
    made = place.ledger.charge_everyone(pipelines, since, until)
    place.people.finish()
    for row in made:
        place.audit.append(
            row.pipeline.rpartition("/")[2],
            actor,
            "privacy.charge_everyone",
            f"{row.pipeline} {since} to {until}",
            row.people,
        )
    return made
