"""A user's own log, end to end: good rows go in whole, bad ones are listed with the fix."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everloop.contracts.episodes import Arm, Episode
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixInput,
    ShouldFixMapping,
    ShouldFreeDisk,
    ShouldResolveConflict,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.intake.files import import_file
from everloop.intake.mapping_file import parse_mapping
from everloop.intake.records import ImportSummary
from everloop.intake.rows import FileKind

NOW = datetime(2026, 3, 2, tzinfo=UTC)
MAPPING = """\
episode_id: id
user_id: who
timestamp: when
action: {column: what, values: {W: wait, A: show-a, B: show-b}}
propensity: p
valid_actions: could
context:
  hour: hour
  basket: basket
  taste: taste
  plan: plan
  recent: recent
model_version: model
arm: arm
signals:
  - {type: click, column: click, values: {yes: 1, no: 0}, latency: seconds, confidence: sure}
  - {type: stars, column: stars, at: rated}
"""


def row(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A good row, as JSON holds it."""
    return {
        "id": str(uuid.UUID(int=number)),
        "who": f"customer {number}",
        "when": "2026-03-01T12:00:00+00:00",
        "what": "A",
        "p": 0.5,
        "could": ["wait", "show-a"],
        "hour": 12,
        "basket": 20,
        "taste": [0.5, -0.5, 0],
        "plan": "paid",
        "recent": [{"action": "wait", "reward": None}],
        "model": "v1",
        "arm": "active",
        "click": "yes",
        "seconds": 30.9,
        "sure": 0.5,
        "stars": 0.25,
        "rated": "2026-03-01T13:00:00+00:00",
    } | changes


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(rows[0])
        for cells in rows:
            writer.writerow(
                ["|".join(v) if k == "could" else json.dumps(v) if isinstance(v, list) else v][0]
                for k, v in cells.items()
            )
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    typed = [r | {"when": datetime.fromisoformat(r["when"])} for r in rows]
    pq.write_table(pa.Table.from_pylist(typed), path)
    return path


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], Path]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}


@dataclass
class Desk:
    """Everything an import needs, with a log to look into."""

    log: Any
    spec: LoopSpec
    pseudonym: Callable[[str], str]
    folder: Path

    @property
    def rejects_path(self) -> Path:
        return self.folder / "rejects.jsonl"

    def bring(self, path: Path, mapping: str = MAPPING, **options: Any) -> ImportSummary:
        return import_file(
            self.log,
            self.spec,
            path,
            parse_mapping(mapping, self.spec),
            self.pseudonym,
            self.rejects_path,
            **({"now": NOW} | options),
        )

    def rows(self, *rows: dict[str, Any], **options: Any) -> ImportSummary:
        return self.bring(write_jsonl(self.folder / "log.jsonl", list(rows)), **options)

    @property
    def rejects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.rejects_path.read_text().splitlines()]


@pytest.fixture
def desk(log: Any, shop: LoopSpec, pseudonym: Callable[[str], str], tmp_path: Path) -> Desk:
    return Desk(log, shop, pseudonym, tmp_path)


@pytest.mark.parametrize("kind", WRITERS)
def test_the_three_formats_bring_the_same_records(desk: Desk, kind: str) -> None:
    path = WRITERS[kind](desk.folder / f"log.{kind}", [row(1), row(2, what="W", click="no")])
    summary = desk.bring(path, tenant="t")
    assert (summary.loop, summary.tenant) == ("shop", "t")
    assert (summary.episodes_new, summary.signals_new, summary.rejected) == (2, 4, 0)
    assert summary.rejects_path is None
    assert not desk.rejects_path.exists()
    assert summary.first_timestamp == summary.last_timestamp == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert summary.positives == 1
    assert summary.note == f"2 rows of log.{kind}; 0 refused."

    episode = desk.log.episodes[str(uuid.UUID(int=1))]
    assert episode == Episode(
        episode_id=str(uuid.UUID(int=1)),
        user_id=desk.pseudonym("customer 1"),
        loop="shop",
        context_snapshot={
            "hour": 12.0,
            "basket": 20.0,
            "taste": [0.5, -0.5, 0.0],
            "plan": "paid",
            "recent": [{"action": "wait", "reward": None}],
        },
        action_taken="show-a",
        timestamp=datetime(2026, 3, 1, 12, tzinfo=UTC),
        model_version="v1",
        propensity=0.5,
        valid_actions=("wait", "show-a"),
        arm=Arm.ACTIVE,
        tenant="t",
    )
    own = [s for s in desk.log.signals.values() if s.episode_id == episode.episode_id]
    assert sorted((s.signal_type, s.value, s.latency, s.confidence, s.tenant) for s in own) == [
        ("click", 1.0, 30, 0.5, "t"),
        ("stars", 0.25, 3600, 1.0, "t"),
    ]


@pytest.mark.parametrize("kind", WRITERS)
def test_importing_again_is_a_replay(desk: Desk, kind: str) -> None:
    path = WRITERS[kind](desk.folder / f"log.{kind}", [row(n) for n in range(5)])
    desk.bring(path)
    again = desk.bring(path)
    assert (again.episodes_new, again.episodes_replayed) == (0, 5)
    assert (again.signals_new, again.signals_replayed) == (0, 10)


def test_blank_signals_are_no_signals_and_a_blank_propensity_was_not_logged(desk: Desk) -> None:
    summary = desk.rows(row(1, click="", stars=None, p=None))
    assert (summary.episodes_new, summary.signals_new) == (1, 0)
    assert desk.log.episodes[str(uuid.UUID(int=1))].propensity is None


def test_ids_from_a_key_are_stable_and_differ_by_tenant(desk: Desk) -> None:
    mapping = MAPPING.replace("episode_id: id", "episode_id: {key: [who, when]}")
    desk.rows(row(1), mapping=mapping)
    assert desk.rows(row(1), mapping=mapping).episodes_replayed == 1
    assert desk.rows(row(1), mapping=mapping, tenant="other").episodes_new == 1


def test_without_propensities_the_note_says_what_follows(desk: Desk) -> None:
    summary = desk.rows(row(1), mapping=MAPPING.replace("propensity: p\n", ""))
    assert "never used to judge a policy" in summary.note
    assert next(iter(desk.log.episodes.values())).propensity is None


def test_without_a_mask_every_action_was_possible(desk: Desk) -> None:
    desk.rows(row(1), mapping=MAPPING.replace("valid_actions: could\n", ""))
    assert next(iter(desk.log.episodes.values())).valid_actions == desk.spec.action_ids


def test_vectors_by_prefix_and_constants(desk: Desk) -> None:
    mapping = (
        MAPPING.replace("taste: taste", "taste: {prefix: t}")
        .replace("plan: plan", "plan: {const: free}")
        .replace("arm: arm", "arm: {const: comparison}")
    )
    path = write_csv(desk.folder / "log.csv", [row(1, t0=0.1, t1=-0.2, t2=1)])
    desk.bring(path, mapping)
    episode = next(iter(desk.log.episodes.values()))
    assert episode.context_snapshot["taste"] == [0.1, -0.2, 1.0]
    assert episode.context_snapshot["plan"] == "free"
    assert episode.arm is Arm.COMPARISON


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"id": "7"}, "id", "is not a UUID"),
    ({"id": ""}, "id", "is empty"),
    ({"who": " "}, "who", "is empty"),
    ({"who": float("nan")}, "who", "is not a name"),
    ({"who": ["x"]}, "who", "is not a name"),
    ({"when": "2026-03-01T12:00:00"}, "when", "has no time zone"),
    ({"when": "noon"}, "when", "is not a moment in format rfc3339"),
    ({"when": "2026-03-02T00:05:01+00:00"}, "when", "lies more than 5 minutes ahead"),
    ({"what": "Q"}, "what", "is not named in values"),
    ({"what": None}, "what", "is empty"),
    ({"what": "B"}, "what", "is not among the row's valid actions"),
    ({"p": 0}, "p", "is outside (0, 1]"),
    ({"p": 1.0001}, "p", "is outside (0, 1]"),
    ({"p": 9e-7}, "p", "is below 1e-06"),
    ({"when": "1999-12-31T23:59:59+00:00"}, "when", "lies before 2000-01-01"),
    ({"p": float("nan")}, "p", "is not finite"),
    ({"p": "half"}, "p", "is not a number"),
    ({"could": None}, "could", "is empty"),
    ({"could": ["show-a", "show-a"]}, "could", "repeats an action"),
    ({"could": ["show-a", "show-q"]}, "could", "is not in the loop's catalogue"),
    ({"could": 3}, "could", "is not a list"),
    ({"hour": 25}, "hour", "is outside the cycle [0, 24]"),
    ({"hour": None}, "hour", "is missing"),
    ({"basket": 101}, "basket", "is outside the public bounds [0, 100]"),
    ({"basket": float("inf")}, "basket", "is not finite"),
    ({"taste": [1, 2, 3]}, "taste", "leaves the public bounds [-1, 1]"),
    ({"taste": [0, 0]}, "taste", "does not have 3 numbers"),
    ({"taste": [0, 0, float("nan")]}, "taste", "is not finite"),
    ({"plan": "gold"}, "plan", "is not one of the field's choices"),
    ({"recent": [{"action": "wait"}]}, "recent", "holds an interaction of another shape"),
    ({"recent": [{"action": "w", "reward": float("nan")}]}, "", "is not an episode"),
    ({"model": ""}, "model", "is empty"),
    ({"arm": "activ"}, "arm", "is not an arm"),
    ({"click": "perhaps"}, "click", "is not named in values"),
    ({"seconds": -1}, "seconds", "lies before the decision"),
    ({"seconds": None}, "seconds", "is empty"),
    ({"sure": 1.5}, "sure", "is outside [0, 1]"),
    ({"stars": 1.5}, "stars", "is outside the declared range [0, 1]"),
    ({"stars": "many"}, "stars", "is not a number"),
    ({"rated": "2026-03-01T11:59:59+00:00"}, "rated", "lies before the decision"),
    ({"rated": None}, "rated", "is empty"),
]


@pytest.mark.parametrize(("change", "column", "problem"), BAD, ids=lambda v: str(v)[:40])
def test_a_bad_row_is_listed_and_the_others_go_in(
    desk: Desk, change: dict[str, Any], column: str, problem: str
) -> None:
    summary = desk.rows(row(1), row(2, **change), row(3), max_reject_share=0.5)
    assert (summary.episodes_new, summary.signals_new, summary.rejected) == (2, 4, 1)
    assert summary.rejects_path == desk.rejects_path
    (reject,) = desk.rejects
    assert reject["line"] == 2
    assert (reject["column"] or "") == column
    assert reject["problem"].startswith(problem)
    assert reject["fix"]
    assert list(reject) == ["line", "column", "value", "problem", "fix"]
    assert sum(count for _, count in summary.problems) == 1


def test_five_minutes_of_clock_skew_are_accepted(desk: Desk) -> None:
    late = row(1, when="2026-03-02T00:05:00+00:00", stars="")
    assert desk.rows(late).episodes_new == 1


def test_the_machines_clock_is_the_present_by_default(desk: Desk) -> None:
    future = row(1, when="2999-01-01T00:00:00+00:00")
    with pytest.raises(ShouldFixInput, match="ahead of this machine's clock"):
        desk.rows(future, now=None)


def test_a_repeated_id_with_the_same_content_is_a_replay(desk: Desk) -> None:
    summary = desk.rows(row(1), row(1))
    assert (summary.episodes_new, summary.episodes_replayed, summary.rejected) == (1, 1, 0)
    assert (summary.signals_new, summary.signals_replayed) == (2, 2)


@pytest.mark.parametrize("change", [{"p": 0.25}, {"stars": 1.0}], ids=str)
def test_a_repeated_id_with_other_content_is_refused(desk: Desk, change: dict[str, Any]) -> None:
    summary = desk.rows(row(1), row(2), row(1, **change), max_reject_share=0.5)
    assert (summary.episodes_new, summary.rejected) == (2, 1)
    (reject,) = desk.rejects
    assert reject["line"] == 3
    assert "the first is on line 1" in reject["fix"]


def test_an_id_that_the_log_holds_with_other_content_stops_the_import(desk: Desk) -> None:
    desk.rows(row(1))
    before = dict(desk.log.episodes)
    with pytest.raises(ShouldResolveConflict):
        desk.rows(row(5), row(1, p=0.25))
    assert desk.log.episodes == before


def test_too_many_bad_rows_import_nothing_and_name_the_top_reasons(desk: Desk) -> None:
    rows = [row(n) for n in range(90)]
    rows += [row(100 + n, p=0) for n in range(8)] + [row(200, hour=99), row(201, who="")]
    with pytest.raises(ShouldFixInput) as caught:
        desk.rows(*rows)
    message = str(caught.value)
    assert "10 of 100 rows were refused (10.0%), more than 1.0%: nothing was imported" in message
    assert "8 x p is outside (0, 1]; 1 x hour is outside" in message
    assert str(desk.rejects_path) in message
    assert len(desk.rejects) == 10
    assert desk.log.episodes == {}
    assert desk.log.batches == 0


def test_the_share_is_a_limit_not_a_target(desk: Desk) -> None:
    rows = [row(n) for n in range(99)] + [row(100, p=0)]
    assert desk.rows(*rows).rejected == 1
    with pytest.raises(ShouldFixInput):
        desk.rows(*rows, max_reject_share=0.009)
    with pytest.raises(ShouldFixArgument, match=r"max_reject_share=1\.5"):
        desk.rows(*rows, max_reject_share=1.5)


def test_a_row_nested_beyond_reason_is_a_reject(desk: Desk) -> None:
    deep = "[" * 950 + "]" * 950
    path = desk.folder / "log.jsonl"
    path.write_text(json.dumps(row(1)).replace('"recent": [', f'"recent": [{deep}, ') + "\n")
    summary = desk.bring(path, max_reject_share=1.0)
    assert (summary.episodes_new, summary.rejected) == (0, 1)


def test_malformed_lines_are_rejects_too(desk: Desk) -> None:
    path = desk.folder / "log.jsonl"
    path.write_text(f"{json.dumps(row(1))}\nnonsense\n{json.dumps(row(2))}\n")
    summary = desk.bring(path, max_reject_share=0.5)
    assert (summary.episodes_new, summary.rejected) == (2, 1)
    assert desk.rejects[0]["value"] == "nonsense"
    assert summary.problems == (("the row is not JSON", 1),)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_truncated_file_imports_nothing(desk: Desk, kind: str) -> None:
    path = WRITERS[kind](desk.folder / f"log.{kind}", [row(n) for n in range(50)])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ShouldFixInput, match="Nothing was imported"):
        desk.bring(path, max_reject_share=1.0)
    assert desk.log.batches == 0
    assert not desk.rejects_path.exists()


@pytest.mark.parametrize("kind", WRITERS)
def test_a_column_that_the_file_lacks_is_a_wrong_mapping(desk: Desk, kind: str) -> None:
    path = WRITERS[kind](desk.folder / f"log.{kind}", [row(1)])
    with pytest.raises(ShouldFixMapping, match=r"'seconds_'.*Did you mean 'seconds'"):
        desk.bring(path, MAPPING.replace("latency: seconds", "latency: seconds_"))
    assert desk.log.batches == 0


def test_a_vector_whose_columns_the_file_lacks_is_a_wrong_mapping(desk: Desk) -> None:
    path = write_csv(desk.folder / "log.csv", [row(1, t0=0, t1=0)])
    with pytest.raises(ShouldFixMapping, match="'t2'"):
        desk.bring(path, MAPPING.replace("taste: taste", "taste: {prefix: t}"))


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_day_is_no_error(desk: Desk, content: str) -> None:
    path = desk.folder / "log.jsonl"
    path.write_text(content)
    summary = desk.bring(path)
    assert (summary.episodes_new, summary.signals_new, summary.rejected) == (0, 0, 0)
    assert (summary.first_timestamp, summary.last_timestamp) == (None, None)


def test_the_format_can_be_said(desk: Desk) -> None:
    path = write_jsonl(desk.folder / "export.txt", [row(1)])
    with pytest.raises(ShouldFixArgument, match="export"):
        desk.bring(path)
    assert desk.bring(path, kind=FileKind.JSONL).episodes_new == 1


def test_the_input_is_never_overwritten_by_its_rejects(desk: Desk) -> None:
    path = write_jsonl(desk.rejects_path, [row(1, p=0)])
    with pytest.raises(ShouldFixArgument, match="both input and rejects"):
        desk.bring(path)
    assert path.exists()


def test_progress_counts_rows(desk: Desk) -> None:
    done: list[int] = []
    desk.rows(*[row(n) for n in range(1500)], progress=done.append)
    assert done == [1000, 1500]


def test_a_full_disk_while_checking_imports_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> Any:
        return Path("/dev/full").open("w+b")

    monkeypatch.setattr("everloop.intake.unnamed_file.tempfile.TemporaryFile", full)
    with pytest.raises(ShouldFreeDisk):
        desk.rows(*[row(n) for n in range(100)])
    assert desk.log.episodes == {}


def test_a_log_that_fails_midway_leaves_the_import_absent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(episodes: Any, signals: Any) -> Any:
        next(iter(episodes))
        raise ShouldFreeDisk("No room.", "Free disk.")

    monkeypatch.setattr(desk.log, "append_batch", full)
    with pytest.raises(ShouldFreeDisk):
        desk.rows(row(1))
    assert desk.log.episodes == {}
