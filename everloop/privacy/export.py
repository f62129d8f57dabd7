"""The whole ledger as lines of JSON that a stranger can verify without the database or any key.

The first line says what the file is, one line a row follows, and the last line says how many there are,
the hash that the chain ends with and what the releases cost together. The hash that ends an older export
must be that of one of the rows: whoever kept it can tell that nothing before it was rewritten. Commitments
to people need the ledger's key and are not checked here.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from everloop.contracts.canonical import Json, canonical_json
from everloop.contracts.errors import ShouldFixArgument, ShouldRepairLedger
from everloop.contracts.privacy import LedgerRow, mechanism_from
from everloop.privacy import mechanisms, renyi
from everloop.privacy.chain import GENESIS, broken, check_chain, content_of, row_from
from everloop.privacy.dp_events import event_of
from everloop.privacy.spending import is_subsampled, releases_of

FORMAT = "everloop privacy ledger 1"
_RELATIVE = 1e-6
"""Difference allowed between stored divergences and those of another version of dp_accounting."""


@dataclasses.dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export adds up to. ``mu_squared``: of one who took part in every release."""

    rows: int
    releases: int
    unfinished: int
    mu_squared: float
    last_row_sha256: str


def exported(rows: Sequence[LedgerRow]) -> Iterator[str]:
    """Lines of the export, without their newlines."""
    yield canonical_json({"format": FORMAT, "rdp_version": renyi.VERSION, "orders": renyi.ORDERS})
    for row in rows:
        yield canonical_json({**content_of(row), "row_sha256": row.row_sha256})
    yield canonical_json({"end": dataclasses.asdict(_summary(rows))})


def verified(lines: Iterable[str]) -> ExportSummary:
    """Check an export: its form, the chain, every row's price against its mechanism, and the sums.

    Raises:
        ShouldRepairLedger: naming the first bad row or line.
    """
    rows: list[LedgerRow] = []
    end: Mapping[str, Json] | None = None
    for number, line in enumerate(lines, 1):
        found = _object(number, line)
        if number == 1:
            if found.get("format") != FORMAT:
                raise _bad(number, f"does not say {FORMAT!r}")
        elif end is not None:
            raise _bad(number, "comes after the end")
        elif "end" in found:
            end = found["end"]
        else:
            rows.append(_row(number, found))
    check_chain(rows)
    for row in releases_of(rows):
        _check_price(row)
    if end is None:
        raise ShouldRepairLedger(
            f"The export stops after {len(rows)} rows without its last line.", "Export it again."
        )
    summary = _summary(rows)
    if dict(end) != dataclasses.asdict(summary):
        wrong = sorted(
            name for name, value in dataclasses.asdict(summary).items() if end.get(name) != value
        )
        raise ShouldRepairLedger(
            f"The export's last line is wrong about {', '.join(wrong) or 'what it holds'}.",
            "Export it again; where the rows verify, lines are missing or the end was changed.",
        )
    return summary


def _summary(rows: Sequence[LedgerRow]) -> ExportSummary:
    releases = releases_of(rows)
    return ExportSummary(
        rows=len(rows),
        releases=len(releases),
        unfinished=2 * len(releases) - len(rows),
        mu_squared=math.fsum(row.mu_squared for row in releases),
        last_row_sha256=rows[-1].row_sha256 if rows else GENESIS,
    )


def _check_price(row: LedgerRow) -> None:
    """A row's loss must be its mechanism's."""
    try:
        mechanism = mechanism_from(row.mechanism)
    except ShouldFixArgument as problem:
        raise broken(row, f"has no mechanism that reads: {problem.message}") from None
    if not is_subsampled(row):
        expected = mechanism.steps / mechanism.sigma**2
        if not math.isclose(row.mu_squared, expected, rel_tol=_RELATIVE):
            raise broken(row, f"costs mu^2 {row.mu_squared:.6g}, but its noise {expected:.6g}")
    if row.event is not None and dict(row.event) != event_of(mechanism):
        raise broken(row, "tells another event than its mechanism")
    if row.rdp is None and not is_subsampled(row):
        return
    found = mechanisms.divergences(mechanism)
    if row.rdp_version != renyi.VERSION or not _close(row.rdp or (), found):
        raise broken(row, "has other divergences than its mechanism")


def _close(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and all(
        math.isclose(x, y, rel_tol=_RELATIVE, abs_tol=1e-12) for x, y in zip(a, b, strict=True)
    )


def _object(number: int, line: str) -> dict[str, Json]:
    try:
        found = json.loads(line)
        canonical_json(found)
    except (ValueError, TypeError, RecursionError):
        raise _bad(number, "is no finite JSON") from None
    if not isinstance(found, dict):
        raise _bad(number, "is no object")
    return found


def _row(number: int, content: Mapping[str, Json]) -> LedgerRow:
    try:
        return row_from(content)
    except (KeyError, TypeError, ValueError) as problem:
        raise _bad(number, f"is no row ({problem!r})") from None


def _bad(number: int, problem: str) -> ShouldRepairLedger:
    return ShouldRepairLedger(f"Line {number} of the export {problem}.", "Export it again.")
