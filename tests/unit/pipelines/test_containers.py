"""Containers that cannot be started are refused in our words; nothing of kfp's stays replaced."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from docker.errors import APIError, DockerException, ImageNotFound
from kfp.local import docker_task_handler

from everloop.contracts.errors import ShouldFixArgument, ShouldGiveMemory, ShouldProvideEngine
from everloop.settings import Containers
from pipelines.containers import STARTER, Started, in_containers
from pipelines.source import code_sha256


class Box:
    """A container that says what it is told to."""

    def __init__(self, lines: list[bytes], code: int, killed: bool) -> None:
        self.lines, self.code, self.removed = lines, code, False
        self.attrs = {"State": {"OOMKilled": killed}}

    def start(self) -> None: ...

    def reload(self) -> None: ...

    def logs(self, stream: bool, follow: bool) -> list[bytes]:
        return self.lines

    def wait(self) -> dict[str, int]:
        return {"StatusCode": self.code}

    def remove(self, force: bool) -> None:
        self.removed = force


class Client:
    """An engine with one kind of container."""

    def __init__(self, *lines: bytes, code: int = 0, killed: bool = False) -> None:
        self.box, self.asked = Box(list(lines), code, killed), dict[str, Any]()
        self.known, self.problem = True, None
        self.left: list[Any] = []
        self.containers = SimpleNamespace(create=self.create, list=lambda filters: self.left)
        self.images = self
        self.options = ["name=seccomp"]

    def create(self, **asked: Any) -> Box:
        if self.problem:
            raise self.problem
        self.asked = asked
        return self.box

    def get(self, name: str) -> None:
        if not self.known:
            raise ImageNotFound(name)

    def info(self) -> dict[str, Any]:
        return {"SecurityOptions": self.options}

    def ping(self) -> None: ...

    def close(self) -> None: ...


def started(client: Client, folder: Path, **asked: str) -> Started:
    return Started(client, Containers(**asked), folder)


def step(client: Client, folder: Path, **asked: str) -> int:
    return started(client, folder, **asked).step(None, "image", ["x"], {}, environment={"A": "b"})


def test_kfp_has_its_own_function_back_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = docker_task_handler.run_docker_container
    client = Client(f"code {code_sha256()}\n".encode())
    monkeypatch.setattr(docker, "from_env", lambda: client)
    replaced = []

    def meanwhile() -> None:
        with in_containers(Containers(), tmp_path):
            replaced.append(docker_task_handler.run_docker_container)
            raise KeyError

    with pytest.raises(KeyError):
        meanwhile()
    assert replaced != [own]
    assert docker_task_handler.run_docker_container is own


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (DockerException("Error: PermissionError(13, 'Permission denied')"), "does not let user"),
        (DockerException("Connection refused"), "No container engine answers"),
    ],
)
def test_an_engine_out_of_reach_is_named(
    problem: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise problem

    monkeypatch.setattr(docker, "from_env", fail)
    with pytest.raises(ShouldProvideEngine, match=said), in_containers(Containers(), tmp_path):
        pass


def test_a_database_elsewhere_needs_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_DATABASE_URL", "postgresql://u:secret@db/x")
    with (
        pytest.raises(ShouldFixArgument, match="no network"),
        in_containers(Containers(), tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (Client(b"code 0123\n"), "holds other code"),
        (Client(b"Traceback\nModuleNotFoundError: pipelines\n", code=1), "no image of everloop"),
        (Client(code=127), "it exits with 127"),
        (Client(b"/srv/everloop\n", code=75), "may not write to /srv/everloop"),
    ],
)
def test_an_image_or_a_folder_that_will_not_do_is_refused(
    client: Client, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ShouldProvideEngine, match=said):
        started(client, tmp_path).check()
    assert client.box.removed


def test_an_image_that_is_not_there_is_refused(tmp_path: Path) -> None:
    client = Client()
    client.known = False
    with pytest.raises(ShouldProvideEngine, match="has no image"):
        started(client, tmp_path).check()


def test_a_step_gets_the_workspace_the_callers_user_and_no_network(tmp_path: Path) -> None:
    client = Client(b"one\n", code=3)
    assert step(client, tmp_path, memory="2g") == 3
    asked, place = client.asked, str(tmp_path)
    assert asked["volumes"] == {place: {"bind": place, "mode": "rw"}}
    assert asked["user"] == f"{os.getuid()}:{os.getgid()}"
    assert (asked["network_mode"], asked["mem_limit"]) == ("none", "2g")
    assert asked["memswap_limit"] == "2g"
    assert asked["environment"]["A"] == "b"
    assert "auto_remove" not in asked
    assert client.box.removed


def test_a_rootless_engines_root_is_the_caller(tmp_path: Path) -> None:
    client = Client()
    client.options.append("name=rootless")
    step(client, tmp_path)
    assert client.asked["user"] == "0:0"


def test_a_step_that_was_killed_for_memory_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert step(Client(code=137, killed=True), tmp_path, memory="64m") == 1
    told = capsys.readouterr().out
    assert told.startswith(f"{ShouldGiveMemory.__name__}: ")
    assert "its limit of 64m" in told
    assert step(Client(code=0, killed=True), tmp_path) == 0


def test_an_engine_that_fails_meanwhile_fails_the_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = Client()
    client.problem = APIError("500 Server Error", explanation="no space left on device")
    assert step(client, tmp_path) == 1
    assert "ShouldProvideEngine" in (told := capsys.readouterr().out)
    assert "no space left on device" in told


def test_lines_come_whole_where_the_engine_cuts_a_letter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step(Client(b"caf\xc3", b"\xa9\n"), tmp_path)
    assert capsys.readouterr().out == "café\n"


def test_a_journal_outside_the_workspace_is_mounted_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "other-disk" / "journal"
    monkeypatch.setenv("EVERLOOP_LEDGER_JOURNAL", str(journal))
    home = tmp_path / "home"
    home.mkdir()
    client = Client(f"code {code_sha256()}\n".encode())
    started(client, home).check()
    assert journal.is_dir()  # ours, before an engine makes it as root
    assert set(client.asked["volumes"]) == {str(home), str(journal)}
    assert client.asked["command"][-2:] == [str(home), str(journal)]


def test_a_journal_in_a_bucket_needs_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_LEDGER_JOURNAL", "gs://bucket/journal")
    with (
        pytest.raises(ShouldFixArgument, match="EVERLOOP_LEDGER_JOURNAL must be reached"),
        in_containers(Containers(), tmp_path),
    ):
        pass


def test_a_step_gets_the_keys_and_no_token_of_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_LEDGER_KEY", "ab" * 32)
    others = ("KUBEFLOW_TOKEN", "NOTIFY_SLACK_URL", "OIDC_ISSUER", "PLATFORM")
    for name in others:
        monkeypatch.setenv(f"EVERLOOP_{name}", "x")
    client = Client()
    step(client, tmp_path)
    given = client.asked["environment"]
    assert given["EVERLOOP_LEDGER_KEY"] == "ab" * 32
    assert not {f"EVERLOOP_{name}" for name in others} & set(given)


def test_steps_whose_run_was_killed_are_ended_and_no_others(tmp_path: Path) -> None:
    client = Client(f"code {code_sha256()}\n".encode())
    orphan, mine, older = Box([], 0, False), Box([], 0, False), Box([], 0, False)
    for box, labels in (
        (orphan, {STARTER: "4194305"}),  # above the largest id that a process can have
        (mine, {STARTER: str(os.getpid())}),
        (older, {}),
    ):
        box.labels = labels  # type: ignore[attr-defined]
    client.left = [orphan, mine, older]
    started(client, tmp_path).check()
    assert (orphan.removed, mine.removed, older.removed) == (True, False, False)
    assert client.asked["labels"][STARTER] == str(os.getpid())
    assert client.asked["pids_limit"] == 4096
