"""The rejects file and the spool: whole, in order, and honest about a full disk."""

from __future__ import annotations

import errno
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.episodes import Arm, Episode, RewardSignal
from everloop.contracts.errors import ShouldFreeDisk
from everloop.intake import unnamed_file
from everloop.intake.rejects import Rejects
from everloop.intake.spool import SerialisedDecision, Spool
from everloop.intake.unnamed_file import UnnamedFile, no_room

EPISODE = Episode(
    episode_id="00000000-0000-0000-0000-000000000001",
    user_id="a" * 64,
    loop="shop",
    context_snapshot={"hour": 3.5, "recent": [{"action": "wait", "reward": None}], "plan": "ü"},
    action_taken="wait",
    timestamp=datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
    model_version="rules",
    propensity=0.1 + 0.2,
    valid_actions=("wait", "show-a"),
    arm=Arm.COMPARISON,
    tenant="t",
)
SIGNAL = RewardSignal(
    signal_id="00000000-0000-0000-0000-000000000002",
    episode_id=EPISODE.episode_id,
    signal_type="click",
    value=1 / 3,
    latency=7,
    tenant="t",
)


def test_the_spool_gives_back_equal_records_in_order() -> None:
    with Spool() as spool:
        spool.add(SerialisedDecision.of(EPISODE, [SIGNAL, SIGNAL]))
        spool.add(SerialisedDecision.of(EPISODE, []))
        assert list(spool.episodes()) == [EPISODE, EPISODE]
        assert list(spool.signals()) == [SIGNAL, SIGNAL]
        assert list(spool.episodes()) == [EPISODE, EPISODE]


def test_a_digest_tells_evidence_apart() -> None:
    whole = SerialisedDecision.of(EPISODE, [SIGNAL]).digest
    assert whole == SerialisedDecision.of(EPISODE, [SIGNAL]).digest
    assert whole != SerialisedDecision.of(EPISODE, []).digest


def test_rejects_are_published_whole_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rejects.jsonl"
    with Rejects() as rejects:
        rejects.add(3, "p", math.nan, "is not finite", "Leave it empty.")
        rejects.add(4, "p", "x" * 999, "is not finite", "Leave it empty.")
        rejects.add(9, None, [1], "is not JSON", "Write JSON.")
        assert len(rejects) == 3
        assert rejects.problems == (("p is not finite", 2), ("the row is not JSON", 1))
        assert rejects.publish(path) == path
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records[0] == {
        "line": 3,
        "column": "p",
        "value": "nan",
        "problem": "is not finite",
        "fix": "Leave it empty.",
    }
    assert len(records[1]["value"]) == 203
    assert records[2]["value"] == "[1]"
    assert [p.name for p in path.parent.iterdir()] == ["rejects.jsonl"]


def test_without_rejects_an_older_file_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("old")
    with Rejects() as rejects:
        assert rejects.publish(path) is None
    assert not path.exists()


def test_a_failed_publication_keeps_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with Rejects() as rejects:
        rejects.add(1, "p", 0, "is 0", "Fix it.")
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(ShouldFreeDisk, match=r"rejects\.jsonl"):
            rejects.publish(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["rejects.jsonl"]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scratch files on a device that takes nothing."""

    def full(*args: Any, **options: Any) -> Any:
        return Path("/dev/full").open("w+b")

    monkeypatch.setattr(unnamed_file.tempfile, "TemporaryFile", full)


def test_a_full_disk_is_named(full_disk: None) -> None:
    with UnnamedFile("the rows") as file:
        file.write(b"a")
        with pytest.raises(ShouldFreeDisk, match="No room to write the rows"):
            list(file.lines())
    with Spool() as spool:
        spool.add(SerialisedDecision.of(EPISODE, [SIGNAL]))
        with pytest.raises(ShouldFreeDisk, match="the checked signals"):
            list(spool.signals())
    with UnnamedFile("much") as file, pytest.raises(ShouldFreeDisk, match="much"):
        file.write(b"a" * 1_000_000)


def test_other_errors_of_the_system_are_left_as_they_are() -> None:
    denied = PermissionError(13, "Permission denied")
    assert no_room(denied, "x") is denied


def test_a_file_size_limit_is_a_full_disk() -> None:
    named = no_room(OSError(errno.EFBIG, "File too large"), "the rows")
    assert isinstance(named, ShouldFreeDisk)
