"""``everloop voice``: texts taken in line by line, versions and instances shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from everloop import settings
from everloop.cli import voice_lines
from everloop.cli.app import app
from everloop.contracts.episodes import Consent
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldFixInput,
    ShouldNameKnownId,
    ShouldResolveConflict,
)
from everloop.contracts.voices import SourceType
from everloop.loops import shipped_path
from everloop.wiring import Workspace, open_workspace
from tests.log_records import NOON, uuid_of
from tests.voice_records import corpus_row, instance, package, revision, version

AT = "2026-03-01T10:00:00+02:00"


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path / "home")
    found = open_workspace(tmp_path / "home")
    found.personas.append(revision())
    return found


def run(place: Workspace, *words: str) -> Result:
    result = CliRunner().invoke(app, ["voice", *words, "--home", str(place.home)])
    if isinstance(result.exception, EverloopError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def told(place: Workspace, *words: str) -> Any:
    return json.loads(run(place, *words, "--json").stdout)


def lines(folder: Path, *said: object) -> str:
    path = folder / "texts.jsonl"
    path.write_text(
        "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in said)
    )
    return str(path)


def taken(place: Workspace, path: str, *words: str) -> dict[str, int]:
    found: dict[str, int] = told(place, "ingest", path, "--persona", "friend", *words)
    return found


def stored(place: Workspace, persona: str = "friend") -> list[Any]:
    return list(place.voice_log.packages(persona, place.voice_log.watermark()))


def test_lines_become_packages_once(place: Workspace, tmp_path: Path) -> None:
    path = lines(
        tmp_path,
        {"text": "I'd say so", "timestamp": AT},
        "",
        {"texts": ["one", "two"], "user_id": "ben", "origin": "chat"},
        {"said": "well?", "answered": "well!", "package_id": uuid_of(1, "package")},
    )
    words = ("--user", "ann", "--written", "2026-03-02", "--origin", "email")
    assert taken(place, path, *words) == {
        "lines": 3,
        "stored": 3,
        "known": 0,
        "refused": 0,
        "personal": 0,
    }
    again = taken(place, path, *words)
    assert (again["stored"], again["known"]) == (0, 3)
    first, second, third = stored(place)
    assert first.user_id == third.user_id == place.pseudonyms.of("ann", "default")
    assert (first.texts, first.origin) == (("I'd say so",), "email")
    assert first.timestamp == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert (second.texts, second.origin) == (("one", "two"), "chat")
    assert second.user_id == place.pseudonyms.of("ben", "default")
    assert third.replies == (("well?", "well!"),)
    assert third.timestamp == datetime(2026, 3, 2, tzinfo=UTC)
    assert third.package_id == uuid_of(1, "package")
    assert stored(place, "guide") == []


def test_what_was_broken_off_goes_on(
    place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice_lines, "_BATCH", 2)
    said = [{"text": f"text {n}", "timestamp": AT} for n in range(5)]
    broken = lines(tmp_path, *said[:3], '{"text": "torn')
    with pytest.raises(ShouldFixInput, match=r"texts\.jsonl:4 is no JSON"):
        taken(place, broken, "--user", "ann")
    assert len(stored(place)) == 3
    found = taken(place, lines(tmp_path, *said), "--user", "ann")
    assert (found["stored"], found["known"]) == (2, 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "x"}, "timestamp=None"),
        ({"text": "x", "timestamp": "yesterday"}, "timestamp='yesterday'"),
        ({"text": "x", "timestamp": "2026-03-01T10:00:00"}, "with an offset"),
        ({"text": "x", "timestamp": AT, "user_id": 7}, "user_id=7"),
        ({"text": 7, "timestamp": AT}, "no string"),
        ({"texts": "x", "timestamp": AT}, "no string"),
        ({"said": "x", "timestamp": AT}, "one of said and answered"),
        ({"tekst": "x"}, "tekst"),
        ({"text": " ", "timestamp": AT}, "characters"),
        ({"timestamp": AT}, "no text"),
        ({"text": "x", "timestamp": AT, "package_id": "x"}, "UUID"),
        ("[1]", "list"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_names_its_line(
    place: Workspace, tmp_path: Path, line: object, message: str
) -> None:
    path = lines(tmp_path, {"text": "fine", "timestamp": AT}, line)
    with pytest.raises(ShouldFixInput, match=message) as raised:
        taken(place, path, "--user", "ann")
    assert "texts.jsonl:2" in str(raised.value)
    assert len(stored(place)) == 1


def test_an_id_with_another_text_names_its_line(place: Workspace, tmp_path: Path) -> None:
    one = {"text": "x", "timestamp": AT, "package_id": uuid_of(1, "package")}
    path = lines(tmp_path, {"text": "fine", "timestamp": AT}, one, one | {"text": "y"})
    with pytest.raises(ShouldResolveConflict, match=r"texts\.jsonl:3.*another content"):
        taken(place, path, "--user", "ann")


def test_who_refused_is_left_out_and_personal_data_is_told(
    place: Workspace, tmp_path: Path
) -> None:
    ben = place.pseudonyms.of("ben", "default")
    place.log.record_consent(Consent(ben, "train", granted=False, recorded_at=NOON))
    path = lines(
        tmp_path,
        {"text": "mine", "timestamp": AT, "user_id": "ben"},
        {"text": "write to ann@example.org", "timestamp": AT, "user_id": "ann"},
    )
    result = run(place, "ingest", path, "--persona", "friend")
    assert "1 package stored, 0 known before, 1 refused" in result.stdout
    assert "1 of 2 lines has what looks like an address" in result.stderr
    assert [one.texts for one in stored(place)] == [("write to ann@example.org",)]


def test_texts_for_a_persona_that_nobody_knows_are_not_stored(
    place: Workspace, tmp_path: Path
) -> None:
    path = lines(tmp_path, {"text": "mine", "timestamp": AT})
    with pytest.raises(ShouldNameKnownId, match="'compnion'") as raised:
        run(place, "ingest", path, "--persona", "compnion", "--user", "ann")
    assert "Did you mean 'companion'?" in raised.value.remedy
    assert stored(place, "compnion") == []
    place.voices.add_package(package(1, persona="guide"), "http:ann")
    place.voices.add_version(version(1, persona="mentor"))
    for known in ("companion", "guide", "mentor"):
        run(place, "ingest", path, "--persona", known, "--user", "ann")
        assert stored(place, known)
    place.voices.add_package(package(2, persona=""), "http:ann")
    with pytest.raises(ShouldNameKnownId):
        run(place, "ingest", path, "--persona", "guid", "--user", "ann")


def test_a_loop_names_its_persona(place: Workspace, tmp_path: Path) -> None:
    path = lines(tmp_path, {"text": "mine", "timestamp": AT})
    mine = tmp_path / "mine.yaml"
    shipped = shipped_path("companion").read_text()
    mine.write_text(shipped.replace("persona: companion", "persona: muse"))
    run(place, "ingest", path, "--loop", str(mine), "--user", "ann")
    assert stored(place, "muse")
    place.voices.add_version(version(1, persona="companion"))
    (found,) = told(place, "versions", "--loop", "companion")
    assert found["model_id"] == uuid_of(1, "model")
    for words in ((), ("--loop", "companion", "--persona", "muse")):
        with pytest.raises(ShouldFixArgument):
            run(place, "versions", *words)


def test_the_doctor_names_a_voice_that_is_to_forget(place: Workspace) -> None:
    def seen() -> dict[str, Any]:
        found = CliRunner().invoke(app, ["doctor", "--home", str(place.home), "--json"])
        return {one["check"]: one for one in json.loads(found.stdout)}

    assert seen()["voices"]["warning"] is False
    place.voices.add_instances([instance(1)], uuid_of(1, "model"))
    place.voices.add_version(version(1))
    place.voices.add_version(version(2))
    told = seen()["voices"]
    assert told["warning"] is True
    assert "friend version 1 (tenant default) learned from 1 examples" in told["seen"]
    assert "version 2" not in told["seen"]


def test_versions_and_instances_are_shown(place: Workspace) -> None:
    place.voices.add_package(package(1), "cli:ann")
    letter = {"source_type": SourceType.NEW_DATA}
    made = instance(1, uuid_of(1, "package"), **letter)
    place.voices.add_instances([made, corpus_row(1)], uuid_of(1, "model"))
    place.voices.add_version(version(1))
    place.voices.add_version(version(2, user_id=place.pseudonyms.of("ann", "default")))
    text = run(place, "versions", "--persona", "friend").stdout
    assert uuid_of(1, "model") in text
    assert "effect 0.125" in text
    (found,) = told(place, "versions", "--persona", "friend")
    assert (found["instances"], found["forgets"], found["status"]) == (2, 0, "experimental")
    (twin,) = told(place, "versions", "--persona", "friend", "--user", "ann")
    assert twin["model_id"] == uuid_of(2, "model")
    assert made.instance_id in run(place, "instances", "--source", uuid_of(1, "package")).stdout
    (shown,) = told(place, "instances", "--source", "corpus:own/1")
    assert shown["completion"] == "answer 1"
    assert told(place, "instances", "--source", "nothing") == []


def test_nothing_is_said_in_words(place: Workspace) -> None:
    found = run(place, "instances", "--source", "nothing").stdout
    assert found == "Nothing was made of nothing (tenant default).\n"
    found = run(place, "versions", "--persona", "compnion").stdout
    assert found.startswith("Persona 'compnion' has no version yet (tenant default). Did you mean")
    found = run(place, "versions", "--loop", "companion", "--user", "ann").stdout
    assert found == "Persona 'companion' has no version for ann yet (tenant default).\n"
