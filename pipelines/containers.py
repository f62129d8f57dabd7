"""Each step in a container of our image: how one is started, awaited and read.

kfp's own ``DockerRunner`` reads a step's exit code from a container that removes itself. Where the engine
is quicker, it finds none and reports success, so a failed step would count as done. It also mounts the
results' folder alone. So kfp hands its command, image and folder to a function of ours, which keeps the
container until its exit was read.
"""

from __future__ import annotations

import codecs
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp.local import docker_task_handler

from components._runtime import IMAGE
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldGiveMemory,
    ShouldProvideEngine,
)
from everloop.settings import Containers, carried, engine_address, other_folders, reached
from pipelines.source import code_sha256

STEP, STARTER = "everloop.step", "everloop.starter"
"""Labels of a step's container: that it is one, and the process that awaits it."""
_MOST_PROCESSES = 4096
_CANNOT_WRITE = 75
_ASK = (
    "import os, sys\n"
    "for place in sys.argv[1:]:\n"
    f"    if not os.access(place, os.R_OK | os.W_OK | os.X_OK): print(place), sys.exit({_CANNOT_WRITE})\n"
    "from pipelines.source import code_sha256\n"
    "print('code', code_sha256())\n"
)


@contextlib.contextmanager
def in_containers(asked: Containers, folder: Path) -> Iterator[None]:
    """While this is open, ``kfp.local``'s Docker tasks run as asked, with ``folder`` at its own path.

    Raises:
        ShouldProvideEngine: there is no engine, no such image, or it may not be used; or the image
            holds other code than this process.
        ShouldFixArgument: the workspace is behind a network, and the containers have none.
    """
    if asked.network == "none" and (needed := reached()):
        raise ShouldFixArgument(
            f"{', '.join(needed)} must be reached, and the steps' containers have no network.",
            "Name one with --network, or unset it.",
        )
    with _engine() as client:
        started = Started(client, asked, folder)
        started.check()
        before = docker_task_handler.run_docker_container
        docker_task_handler.run_docker_container = started.step
        try:
            yield
        finally:
            docker_task_handler.run_docker_container = before


@contextlib.contextmanager
def _engine() -> Iterator[Any]:
    try:
        import docker  # noqa: PLC0415 — a laptop without containers has no need of it
    except ImportError:
        raise ShouldProvideEngine(
            "The Python package docker is not installed.", "Run pip install 'everloop[containers]'."
        ) from None
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as problem:
        raise _unreached(problem) from problem
    try:
        yield client
    finally:
        client.close()


def _unreached(problem: Exception) -> ShouldProvideEngine:
    place = engine_address()
    if "Permission denied" in str(problem) or "PermissionError" in str(problem):
        return ShouldProvideEngine(
            f"The container engine at {place} does not let user {os.getuid()} in.",
            "Join the group that owns its socket (usually docker), or run a rootless engine.",
        )
    return ShouldProvideEngine(
        f"No container engine answers at {place}.",
        "Start Docker, set DOCKER_HOST, or run the steps without --in-containers.",
    )


class Started:
    """Starts the containers of one run."""

    def __init__(self, client: Any, asked: Containers, folder: Path) -> None:
        self.client, self.asked, self.folder = client, asked, folder.absolute()
        self.places = tuple(dict.fromkeys(map(str, (self.folder, *other_folders()))))

    def check(self) -> None:
        """See that the image is here, may write to the workspace and holds this code."""
        image = self.asked.image or IMAGE
        self._known(image)
        self._remove_orphans()
        for place in self.places:
            # An engine would make what is missing, as root.
            Path(place).mkdir(parents=True, exist_ok=True)
        code, lines = self._run(image, ["python3", "-c", _ASK, *self.places])
        held = lines[-1].removeprefix("code ") if lines else ""
        if code == _CANNOT_WRITE:
            raise ShouldProvideEngine(
                f"User {self._user()} of a container may not write to {lines[-1]}.",
                "Give the folder to the user who starts the run, outside of places that only "
                "others may enter.",
            )
        if code != 0 or not lines[-1].startswith("code "):
            raise ShouldProvideEngine(
                f"{image} is no image of everloop: {lines[-1] if lines else f'it exits with {code}'}.",
                "Build one with make image.",
            )
        if held != code_sha256():
            raise ShouldProvideEngine(
                f"{image} holds other code ({held[:8]}) than what starts the run "
                f"({code_sha256()[:8]}).",
                "Build it anew with make image, or name the image of this version with --image.",
            )

    def step(
        self, client: Any, image: str, command: list[str], volumes: Mapping[str, Any], **given: Any
    ) -> int:
        """What kfp calls for a task; returns the exit code. Its lines go to stdout as they come."""
        del client, volumes  # the workspace holds the results' folder
        environment = given.pop("environment", {})
        try:
            code, _ = self._run(
                self.asked.image or image, command, environment, self.asked.memory, echo=True
            )
        except EverloopError as problem:
            print(f"{type(problem).__name__}: {problem}")
            return 1
        return code

    def _remove_orphans(self) -> None:
        """End steps whose run was killed: the run that goes on starts them anew."""
        import docker  # noqa: PLC0415

        for container in self.client.containers.list(filters={"label": STEP}):
            starter = container.labels.get(STARTER, "")
            if starter.isdecimal() and not Path(f"/proc/{starter}").exists():
                with contextlib.suppress(docker.errors.NotFound):
                    container.remove(force=True)

    def _known(self, image: str) -> None:
        import docker  # noqa: PLC0415

        try:
            self.client.images.get(image)
        except docker.errors.ImageNotFound:
            raise ShouldProvideEngine(
                f"The engine has no image {image}.",
                "Build it with make image, or pull it, or name another with --image.",
            ) from None

    def _user(self) -> str:
        # A rootless engine's root is the user who runs the engine.
        rootless = any("rootless" in option for option in self.client.info()["SecurityOptions"])
        return "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"

    def _run(
        self,
        image: str,
        command: list[str],
        environment: Mapping[str, str] | None = None,
        memory: str = "",
        *,
        echo: bool = False,
    ) -> tuple[int, list[str]]:
        """(exit code, the output's last lines) of a container that is gone when this returns."""
        import docker  # noqa: PLC0415

        place = str(self.folder)
        try:
            container = self.client.containers.create(
                image=image,
                command=command,
                environment=carried() | dict(environment or {}) | {"EVERLOOP_HOME": place},
                volumes={each: {"bind": each, "mode": "rw"} for each in self.places},
                user=self._user(),
                network_mode=self.asked.network,
                mem_limit=memory or None,
                memswap_limit=memory or None,
                shm_size="1g",
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                healthcheck={"test": ["NONE"]},
                pids_limit=_MOST_PROCESSES,
                labels={STEP: "1", STARTER: str(os.getpid())},
            )
            try:
                container.start()
                lines = _lines(container, echo)
                code = int(container.wait()["StatusCode"])
                container.reload()
                killed = bool(container.attrs["State"]["OOMKilled"]) and code != 0
            finally:
                container.remove(force=True)
        except (docker.errors.DockerException, OSError) as problem:
            raise ShouldProvideEngine(
                f"The container engine gave up on a step: {_said(problem)}.",
                "See its log (journalctl -u docker), and run again: finished steps are kept.",
            ) from problem
        if killed:
            raise ShouldGiveMemory(
                "The step needed more memory than "
                f"{f'its limit of {memory}' if memory else 'the machine has'} and was killed.",
                "Raise --memory, or learn from less, and run again: finished steps are kept.",
            )
        return code, lines


def _lines(container: Any, echo: bool) -> list[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    kept = ""
    for chunk in container.logs(stream=True, follow=True):
        text = decoder.decode(chunk)
        if echo:
            print(text, end="", flush=True)
        kept = (kept + text)[-4000:]
    return kept.strip().splitlines()


def _said(problem: Exception) -> str:
    return str(getattr(problem, "explanation", None) or problem).strip().rstrip(".")
