"""A cluster that cannot be used is named before Ray waits for it, and one that dies has last words."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from everloop import settings
from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey, ShouldRetryLater
from rl.ppo import cluster
from rl.ppo.cluster import Cluster, connected, last_words


@pytest.mark.parametrize(
    "address", ["", "host", "host:", ":6379", "host:port", "ray://h:1", "h:70000"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ShouldFixArgument, match="no address of a Ray cluster"):
        Cluster(address)


@pytest.mark.parametrize("given", [{"runners": -1}, {"learners": -1}])
def test_fewer_than_no_workers_are_refused(given: dict[str, int]) -> None:
    with pytest.raises(ShouldFixArgument, match="=-1 is negative"):
        Cluster(**given)  # type: ignore[arg-type]


def test_workers_take_a_cpu_each() -> None:
    assert Cluster(runners=3, learners=2).cpus == 5
    assert Cluster(runners=0).cpus == 1


def test_nobody_listens_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(ShouldRetryLater, match=f"Nothing answers at {address}"),
            connected(address, 1),
        ):
            pytest.fail("nobody is there")


def test_a_promised_token_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    file = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    with pytest.raises(ShouldProvideKey, match=f"names {file}, which cannot be read"):
        settings.check_ray_token()
    file.write_text("\n")
    with (
        pytest.raises(ShouldProvideKey, match="which is empty"),
        connected("127.0.0.1:1", 1),
    ):
        pytest.fail("without a token")
    file.write_text("0123abcd")
    settings.check_ray_token()
    file.unlink()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123abcd")
    settings.check_ray_token()
    monkeypatch.setenv("RAY_AUTH_MODE", "password")
    with pytest.raises(ShouldFixArgument, match="is no mode of Ray"):
        settings.check_ray_token()


@pytest.mark.parametrize(("ending", "heard"), [("os._exit(1)", True), ("pass", False)])
def test_a_process_that_vanishes_has_last_words(ending: str, heard: bool) -> None:
    line = f"import os; from rl.ppo.cluster import last_words\nwith last_words('gone'): {ending}"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", line],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stderr.strip().endswith("gone")) is heard


@pytest.mark.parametrize("failures", [1, cluster.STARTS - 1, cluster.STARTS])
def test_a_ray_that_does_not_start_is_started_again_and_then_told(
    monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    tried: list[str] = []
    stopped: list[str] = []

    class Slow:
        def __init__(self, cpus: int, place: str) -> None:
            tried.append(place)

        def join(self) -> None:
            if len(tried) <= failures:
                raise RuntimeError("The current node timed out during startup.")

        def stop(self) -> None:
            stopped.append(tried[-1])

    monkeypatch.setattr(cluster, "OwnNode", Slow)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 1})
    if failures == cluster.STARTS:
        with (
            pytest.raises(ShouldRetryLater, match=r"did not start on this machine \(The current"),
            connected(None, 1),
        ):
            pytest.fail("it did not start")
    else:
        with connected(None, 1):
            pass
    assert len(tried) == min(failures + 1, cluster.STARTS)
    assert stopped == tried
    assert not Path(tried[0]).exists()


def test_rays_own_folder_is_short_enough_for_its_sockets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = tmp_path / ("a" * 60)
    deep.mkdir()
    monkeypatch.setattr(cluster, "gettempdir", lambda: str(deep))
    assert cluster._short_place() == "/tmp"
    monkeypatch.setattr(cluster, "gettempdir", lambda: "/scratch")
    assert cluster._short_place() == "/scratch"


def test_an_error_within_needs_no_last_words(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), last_words("gone"):
        raise KeyError
    assert "gone" not in capfd.readouterr().err
