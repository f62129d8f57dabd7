"""What is collected: whole, the same for the same log, and known to be damaged where it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from everloop.adaptation.collected import (
    FEEDBACK_FILE,
    JUDGING_FILE,
    MANIFEST_FILE,
    PACKAGES_FILE,
    CollectedFigures,
    collect,
    read_collected,
)
from everloop.adaptation.held_out import Judging, is_held_out, salt_of
from everloop.contracts import documents
from everloop.contracts.errors import ShouldResolveConflict, ShouldRestoreArtefact
from everloop.contracts.feedback import FeedbackStatus, FeedbackType
from everloop.contracts.voice_ports import SpokenFeedback, VoiceWatermark
from everloop.contracts.voices import UserDataPackage
from tests.log_records import NOON
from tests.memory_voice_log import MemoryVoiceLog
from tests.spoken_records import person, spoken
from tests.voice_records import package

T = FeedbackType
TURNS = {"previous_turns": [{"role": "user", "text": "ärgerlich \U0001f600"}]}


def rows() -> list[SpokenFeedback]:
    return [
        spoken(1, T.THUMB, True, by=1, about={"context": TURNS}),
        spoken(2, T.CORRECTION, "Sure, gladly.", by=2, disputed=True),
        spoken(3, T.COMPARISON, {"chosen": "yes", "rejected": "no"}, by=2),
    ]


def test_what_was_stored_comes_back(tmp_path: Path) -> None:
    log = MemoryVoiceLog(rows(), [package(1), package(2, persona="")])
    figures = collect(log, "friend", "default", tmp_path / "out")
    collected = read_collected(tmp_path / "out")
    assert list(collected.feedback()) == log.spoken
    assert list(collected.packages()) == log.given
    assert collected.figures == figures
    assert figures.feedback == {"comparison": 1, "correction": 1, "thumb": 1}
    assert (figures.disputed, figures.packages, figures.people) == (1, 2, 3)
    assert figures.watermark == VoiceWatermark(3, 3, 2)
    assert [entry.rows for entry in figures.files] == [3, 2]


def test_equal_content_has_an_equal_id_whatever_else_the_log_holds(tmp_path: Path) -> None:
    alone = collect(MemoryVoiceLog(rows()), "friend", "default", tmp_path / "a")
    others = [spoken(9, T.THUMB, True, persona="stranger")]
    beside = collect(MemoryVoiceLog(others + rows()), "friend", "default", tmp_path / "b")
    assert alone.watermark != beside.watermark
    assert alone.collected_id == beside.collected_id
    assert (tmp_path / "a" / FEEDBACK_FILE).read_bytes() == (
        tmp_path / "b" / FEEDBACK_FILE
    ).read_bytes()


def test_one_row_more_is_another_id(tmp_path: Path) -> None:
    fewer = collect(MemoryVoiceLog(rows()[:2]), "friend", "default", tmp_path / "a")
    more = collect(MemoryVoiceLog(rows()), "friend", "default", tmp_path / "b")
    assert fewer.collected_id != more.collected_id


def test_the_same_rows_of_another_persona_are_another_id(tmp_path: Path) -> None:
    mine = collect(MemoryVoiceLog(), "friend", "default", tmp_path / "a")
    others = collect(MemoryVoiceLog(), "stranger", "default", tmp_path / "b")
    assert mine.collected_id != others.collected_id


def test_who_opted_out_and_what_waits_for_a_reviewer_are_absent(tmp_path: Path) -> None:
    waits = spoken(4, T.THUMB, False, by=3, status=FeedbackStatus.QUARANTINED)
    log = MemoryVoiceLog([*rows(), waits], [package(1, user_id=person(2))], refused={person(2)})
    collect(log, "friend", "default", tmp_path / "out")
    collected = read_collected(tmp_path / "out")
    assert [row.feedback.user_id for row in collected.feedback()] == [person(1)]
    assert list(collected.packages()) == []


def test_what_is_stored_after_the_watermark_is_left_out(tmp_path: Path) -> None:
    class Growing(MemoryVoiceLog):
        def watermark(self, tenant: str = "default") -> VoiceWatermark:
            until = super().watermark(tenant)
            self.spoken.append(spoken(50, T.THUMB, True))
            return until

    figures = collect(Growing(rows()), "friend", "default", tmp_path / "out")
    assert sum(figures.feedback.values()) == 3


def test_a_repetition_keeps_the_folder_and_another_content_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = collect(MemoryVoiceLog(rows()), "friend", "default", out)
    before = (out / MANIFEST_FILE).stat().st_ino
    assert collect(MemoryVoiceLog(rows()), "friend", "default", out) == first
    assert (out / MANIFEST_FILE).stat().st_ino == before
    with pytest.raises(ShouldResolveConflict, match="something else"):
        collect(MemoryVoiceLog(rows()[:1]), "friend", "default", out)
    assert read_collected(out).figures == first


def test_an_empty_folder_is_filled_and_another_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    collect(MemoryVoiceLog(), "friend", "default", tmp_path / "empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ShouldResolveConflict):
        collect(MemoryVoiceLog(), "friend", "default", tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "other"]


def test_a_log_that_fails_leaves_nothing(tmp_path: Path) -> None:
    class Failing(MemoryVoiceLog):
        def packages(
            self, persona: str, until: VoiceWatermark, tenant: str = "default"
        ) -> Iterator[UserDataPackage]:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        collect(Failing(rows()), "friend", "default", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [FEEDBACK_FILE, PACKAGES_FILE, MANIFEST_FILE])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    collect(MemoryVoiceLog(rows(), [package()]), "friend", "default", tmp_path / "out")
    path = tmp_path / "out" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ShouldRestoreArtefact, match=name):
        read_collected(tmp_path / "out")
    path.unlink()
    with pytest.raises(ShouldRestoreArtefact, match=name):
        read_collected(tmp_path / "out")


def test_the_newest_arrival_is_told_and_changes_no_id(tmp_path: Path) -> None:
    def found(hour: int, name: str) -> CollectedFigures:
        at = NOON + timedelta(hours=hour)
        feedback = [spoken(1, T.THUMB, True, received_at=at), spoken(2, T.THUMB, True)]
        given = [package(1, received_at=NOON - timedelta(days=1))]
        return collect(MemoryVoiceLog(feedback, given), "friend", "default", tmp_path / name)

    nothing = collect(MemoryVoiceLog(), "friend", "default", tmp_path / "none")
    assert nothing.newest is None
    assert found(3, "a").newest == NOON + timedelta(hours=3)
    assert found(3, "b").collected_id == found(3, "c").collected_id
    assert read_collected(tmp_path / "a").figures.newest == NOON + timedelta(hours=3)


def test_its_people_are_who_spoke_and_whom_they_spoke_of(tmp_path: Path) -> None:
    another = spoken(4, T.THUMB, True, by=3, about={"user_id": person(4)})
    given = [package(1, user_id=person(5))]
    collect(MemoryVoiceLog([*rows(), another], given), "friend", "default", tmp_path / "out")
    everybody = {person(number) for number in (1, 2, 3, 4, 5)}
    assert read_collected(tmp_path / "out").people() == everybody


def test_who_judges_is_what_is_kept_beside_it(tmp_path: Path) -> None:
    collect(MemoryVoiceLog(rows()), "friend", "default", tmp_path / "out")
    people = [person(number) for number in range(60)]
    drawn = [each for each in people if is_held_out(each, salt_of("default", "friend"), 0.3)]
    first = read_collected(tmp_path / "out").judges(0.3)
    assert 0 < len(drawn) < 60
    assert [each for each in people if first(each)] == drawn
    kept = tuple(each for each in people if each not in drawn)
    documents.write(Judging(kept), tmp_path / "out" / JUDGING_FILE)
    known = read_collected(tmp_path / "out").judges(0.3)
    assert tuple(each for each in people if known(each)) == kept
    (tmp_path / "out" / JUDGING_FILE).write_text("{")
    with pytest.raises(ShouldRestoreArtefact):
        read_collected(tmp_path / "out").judges(0.3)
