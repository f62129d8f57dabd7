"""The image, built once from a copy of this working tree, and workspaces for runs in it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.containers.engine import BASE, CLIENT, USER

ROOT = Path(__file__).resolve().parents[2]
SMALL_PEOPLE = 700
SMALL = (
    "training.iterations=3",
    "training.profiles=100",
    "training.epochs=1",
    "training.head_start=512",
    "training.alternatives=[]",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "EVERLOOP_TEST_ENGINE" not in os.environ:
        skip = pytest.mark.skip(reason="needs an engine of its own; run: make test-containers")
        for item in items:
            if item.get_closest_marker("containers"):
                item.add_marker(skip)


@dataclass(frozen=True)
class Image:
    """What was built, and what building it took."""

    tag: str
    tree: Path
    attributes: Mapping[str, Any]
    before: Mapping[str, Any]
    """Attributes of the image before a change of code."""
    cold_seconds: float
    again_seconds: float


@pytest.fixture(scope="session")
def place() -> Path:
    return Path(os.environ["EVERLOOP_TEST_ENGINE"])


@pytest.fixture(scope="session")
def client(place: Path) -> Any:
    import docker

    made = docker.from_env()
    yield made
    made.close()


@pytest.fixture(scope="session")
def image(client: Any, place: Path) -> Image:
    """The image of a copy of the working tree: whoever edits the tree meanwhile changes nothing."""
    tree = place / "tree"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    python = {**os.environ, "PYTHON": sys.executable, "DOCKER": CLIENT}
    subprocess.run(["sh", "infra/docker/wheels.sh", "cpu"], cwd=ROOT, env=python, check=True)
    shutil.copytree(ROOT / "build/wheels", tree / "build/wheels", copy_function=os.link)

    changed = tree / "everloop/sdk/daily.py"
    code = changed.read_text()
    changed.write_text(f"{code}\n# a change\n")
    cold = _build(tree, python)
    tag = f"everloop-python:{_version(tree)}"
    before = client.images.get(tag).attrs
    changed.write_text(code)
    again = _build(tree, python)
    attributes = client.images.get(tag).attrs
    made = Image(tag, tree, attributes, before, cold, again)
    print(
        f"\n{tag}: {attributes['Size'] / 1e6:.0f} MB, of which the base {_base_mb(client):.0f} MB; "
        f"built in {cold:.0f} s, and in {again:.0f} s after a change of code",
        flush=True,
    )
    return made


def _base_mb(client: Any) -> float:
    return float(client.images.get(BASE).attrs["Size"]) / 1e6


def _version(tree: Path) -> str:
    import tomllib

    return str(tomllib.loads((tree / "pyproject.toml").read_text())["project"]["version"])


def _build(tree: Path, environment: Mapping[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(["sh", "infra/docker/build.sh"], cwd=tree, env=dict(environment), check=True)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Caller:
    """Who starts runs: nobody in particular, as long as that user can read our Python."""

    user: int
    tree: Path
    place: Path

    def run(self, *arguments: str, user: int | None = None, **environment: str) -> Any:
        """Run a command of the CLI, of the copied tree's code; its completed process."""
        told = {
            **{n: v for n, v in os.environ.items() if not n.startswith("EVERLOOP_")},
            "PYTHONPATH": str(self.tree),
            "HOME": str(self.place),
            "TMPDIR": "/tmp",
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        who = self.user if user is None else user
        return subprocess.run(
            [sys.executable, "-c", "from everloop.cli import main; main()", *arguments],
            cwd=self.place,
            env=told,
            user=who,
            group=who,
            extra_groups=[],
            check=False,
            capture_output=True,
            text=True,
        )

    def daily(self, home: Path, *arguments: str, **environment: str) -> tuple[int, Any, str]:
        """(exit code, the run's record, what went to stderr) of the smallest daily run."""
        settings = [word for setting in SMALL for word in ("--set", setting)]
        day = () if "--date" in arguments else ("--date", "2026-03-28")
        done = self.run(
            *("run", "daily", "--loop", "companion", *day, *settings, *arguments),
            *("--home", str(home), "--json"),
            **environment,
        )
        runs = json.loads(done.stdout) if done.stdout.startswith("[") else [None]
        return done.returncode, runs[0], done.stderr


@pytest.fixture(scope="session")
def caller(image: Image, place: Path) -> Caller:
    mine = place / "caller"
    mine.mkdir()
    user = USER if _may_read_our_python(image.tree) else 0
    if user == 0:
        print(f"\nuser {USER} may not read this Python: runs are started by root instead")
    os.chown(mine, user, user)
    return Caller(user, image.tree, mine)


def _may_read_our_python(tree: Path) -> bool:
    try:
        return not subprocess.run(
            [sys.executable, "-c", "import everloop, kfp"],
            cwd=tree,
            user=USER,
            group=USER,
            extra_groups=[],
            check=False,
            capture_output=True,
        ).returncode
    except PermissionError:
        return False


@pytest.fixture(scope="session")
def log(caller: Caller, place: Path) -> Path:
    """A workspace with a small example log and no run, the caller's."""
    home = place / "caller/log"
    assert caller.run("init", "--home", str(home)).returncode == 0
    make = (
        "from everloop.intake.example import import_example; from everloop.loops import load;"
        "from everloop.wiring import open_workspace;"
        f"place = open_workspace({str(home)!r});"
        "import_example(place.log, load('companion'), place.pseudonyms.of,"
        f" people={SMALL_PEOPLE})"
    )
    subprocess.run(
        [sys.executable, "-c", make],
        cwd=caller.place,
        env={**os.environ, "PYTHONPATH": str(caller.tree)},
        user=caller.user,
        group=caller.user,
        extra_groups=[],
        check=True,
    )
    return home


def copied(home: Path, name: str) -> Path:
    """A copy of a workspace, its owner kept."""
    target = home.parent / name
    subprocess.run(["cp", "-a", str(home), str(target)], check=True)
    return target


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
