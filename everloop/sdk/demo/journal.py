"""The folder of a tour: its terms, its finished days, and who may play in it."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from everloop import settings
from everloop.contracts.demo import DemoDay
from everloop.contracts.documents import read, write, write_atomically
from everloop.contracts.errors import ShouldFixArgument
from everloop.sdk.demo.plan import DemoPlan
from everloop.wiring import Workspace, open_workspace
from pipelines.local_run import exclusive

FOLDER = "demo"
"""Within the workspace."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What must be the same for a tour to go on; its length may grow."""

    people: int
    seed: int
    settings: tuple[str, ...]

    def __str__(self) -> str:
        told = f"{self.people} people and seed {self.seed}"
        return f"{told}, with {', '.join(self.settings)}" if self.settings else told


@dataclass(frozen=True, slots=True)
class Journal:
    """A tour's folder within its workspace.

    Attributes:
        workspace: the workspace, which holds this tour alone.
        folder: ``<home>/demo``.
    """

    workspace: Workspace
    folder: Path

    @property
    def night(self) -> Path:
        """Where a night's steps write; the next night empties it."""
        return self.folder / "night"

    def days(self) -> tuple[DemoDay, ...]:
        """The finished days, oldest first.

        Raises:
            ShouldRestoreArtefact: one cannot be read.
        """
        found: list[DemoDay] = []
        while (path := self._day(len(found) + 1)).exists():
            found.append(read(DemoDay, path))
        return tuple(found)

    def finish(self, day: DemoDay) -> None:
        """Write a day down; from then on the tour goes on after it."""
        write(day, self._day(day.number))

    def tidy(self) -> None:
        """Remove what a finished night no longer needs: its steps' files and its dataset version, which
        the log's pins make again whenever it is asked for."""
        for place in (self.night, self.workspace.home / "datasets"):
            shutil.rmtree(place, ignore_errors=True)

    def _day(self, number: int) -> Path:
        return self.folder / "days" / f"{number:04d}.json"


def default_home() -> Path:
    """A folder of its own beside the workspace that the environment names."""
    home = settings.default_home()
    return home.with_name(f"{home.name}-demo")


@contextmanager
def open_journal(plan: DemoPlan, home: Path | str | None = None) -> Iterator[Journal]:
    """Open a tour's workspace, made where there is none yet, against other processes.

    Raises:
        ShouldFixArgument: the folder cannot be used, or holds something else or another tour.
        ShouldResolveConflict: another process plays in it.
    """
    place = Path(home).absolute() if home else default_home()
    terms = Terms(plan.people, plan.seed, plan.overrides)
    folder = place / FOLDER
    _require_own(place, folder / "terms.json", terms)
    try:
        (folder / "days").mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ShouldFixArgument(
            f"--home {place} cannot be used ({problem.strerror}).", "Name a folder to write in."
        ) from problem
    with exclusive(folder / f"people-{plan.people}" / f"seed-{plan.seed}"):
        write(terms, folder / "terms.json")
        _keep_keys(place / settings.SECRETS_FILE, plan.seed)
        configured, _ = settings.initialise(place)
        if configured.database_url:
            raise ShouldFixArgument(
                f"{settings.DATABASE_URL} names a database, and a tour fills a folder of its own.",
                f"Unset {settings.DATABASE_URL} and play again.",
            )
        yield Journal(open_workspace(place), folder)


def _keep_keys(path: Path, seed: int) -> None:
    """Keys of a new tour. Who is kept from learning follows from pseudonyms, so their key follows from
    the seed: the same tour then learns from the same people anywhere. It protects nobody, since nobody
    here exists; the other keys are secret, and privacy noise is as secret as ever."""
    if path.exists():
        return
    of_seed = hashlib.sha256(f"everloop demo pseudonyms {seed}".encode()).hexdigest()
    keys = {name: secrets.token_hex(settings.MIN_KEY_BYTES) for name in settings.KEYS}
    keys[settings.PSEUDONYM_KEY] = of_seed
    write_atomically("".join(f"{name}={key}\n" for name, key in keys.items()).encode(), path)


def _require_own(place: Path, known: Path, terms: Terms) -> None:
    """Made-up people never mix with others: the folder is new, empty or this tour's."""
    if place.exists() and not place.is_dir():
        raise ShouldFixArgument(f"--home {place} is no folder.", "Name a folder.")
    if known.exists():
        found = read(Terms, known)
        if found != terms:
            raise ShouldFixArgument(
                f"{place} holds a tour of {found}, not of {terms}.",
                "Go on with those terms, or name another --home.",
            )
    elif place.is_dir() and any(entry.name != FOLDER for entry in place.iterdir()):
        raise ShouldFixArgument(
            f"{place} is not empty and holds no tour.",
            "Name a new --home: made-up people must not mix with what is there.",
        )
