"""A container engine of the tests' own: its daemon, its data and the base of our image, all thrown away.

The daemon runs on a socket of its own and has no network to give, touches no packet filter and shares
nothing with an engine that may be installed. It needs root, Debian's packages and cgroups.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BASE = "python:3.11-slim-bookworm"
"""What the Dockerfile starts from; here it is Debian's own Python 3.11."""

CLIENT = "/usr/bin/docker"
"""Debian's client, which fits its daemon and has BuildKit in it; another may come first in PATH."""

PACKAGES = {"dockerd": "docker.io", CLIENT: "docker.io", "mmdebstrap": "mmdebstrap"}
USER = 10001
"""Who the runs' containers belong to, and the group that may ask the engine: nobody of this machine."""

FLAGS = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2")
_START_SECONDS = 60.0
_ROOM = 12 << 30


class CouldNotRun(Exception):
    """This machine cannot run containers; the message says why."""


@dataclass(frozen=True)
class Engine:
    """A daemon that runs. ``address`` is what DOCKER_HOST is set to."""

    address: str
    folder: Path


def require() -> None:
    """Install what is missing; ``CouldNotRun`` where that cannot be done."""
    if os.geteuid() != 0:
        raise CouldNotRun("only root starts a container engine: run sudo make test-containers")
    if shutil.disk_usage(tempfile.gettempdir()).free < _ROOM:
        raise CouldNotRun(f"{tempfile.gettempdir()} has less than {_ROOM >> 30} GB left")
    missing = sorted({package for program, package in PACKAGES.items() if _where(program) is None})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise CouldNotRun(f"there is no apt-get to install {' and '.join(missing)} with")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-qq", "-y", *missing]):
        done = subprocess.run(
            ["apt-get", *command], env=quiet, check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise CouldNotRun(f"apt-get {command[0]} failed: {done.stderr.strip()[-300:]}")


def _where(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """Start a daemon in a temporary folder; when this closes, nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="everloop-containers-"))
    folder.chmod(0o755)  # runs of another user start from here
    daemon: subprocess.Popen[bytes] | None = None
    address = f"unix://{folder}/docker.sock"
    command = [
        str(_where("dockerd")),
        *FLAGS,
        f"--group={USER}",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/docker.pid",
        f"--host={address}",
    ]
    try:
        with (folder / "dockerd.log").open("wb") as log:
            daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        _await(daemon, folder)
        yield Engine(address, folder)
    finally:
        if daemon is not None:
            _stop(daemon)
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def make_base(found: Engine) -> None:
    """Make Debian's smallest system with Python, and give it the name that the Dockerfile starts from."""
    system = found.folder / "base.tar"
    make = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,ca-certificates"]
    with (
        (found.folder / "mmdebstrap.log").open("w+") as log,
        subprocess.Popen(
            [*make, "bookworm", str(system)],
            env={**os.environ, "TMPDIR": str(found.folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as making,
    ):
        try:
            code = making.wait()
        except BaseException:
            os.killpg(making.pid, signal.SIGTERM)  # it unmounts what it mounted
            raise
        log.seek(0)
        if code != 0:
            raise CouldNotRun(f"mmdebstrap made no base: {log.read().strip()[-300:]}")
    command = [CLIENT, "--host", found.address, "import", str(system), BASE]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    system.unlink()


def _await(daemon: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    ask = [CLIENT, "--host", f"unix://{folder}/docker.sock", "version"]
    while subprocess.run(ask, check=False, capture_output=True).returncode != 0:
        if daemon.poll() is not None or time.monotonic() > until:
            lines = (folder / "dockerd.log").read_text(errors="replace").strip().splitlines()
            raise CouldNotRun(f"dockerd did not start: {lines[-1] if lines else 'it said nothing'}")
        time.sleep(0.2)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    """Ask the daemon to end, which stops its containers; then end what it left of its own group."""
    with contextlib.suppress(ProcessLookupError):
        daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(30)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(daemon.pid, signal.SIGKILL)


def _unmount(folder: Path) -> None:
    """Containers that were running when the daemon died leave their file systems mounted."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
