"""A run as it stood on an evening, to go on from as often as one likes."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from bench.loop.life import Life
from bench.loop.served import Served
from bench.loop.terms import LoopTerms
from everloop.sdk.demo.night import Night
from everloop.sdk.demo.records import InFlight
from everloop.wiring import open_workspace
from synthetic.population import Population

STATE = "state.pickle"


@dataclass(frozen=True, slots=True, eq=False)
class Evening:
    """What is not in the workspace: people, what was served, what is on its way, the night's artifacts."""

    population: Population
    days: list[Served]
    in_flight: InFlight
    night: Night


def keep(life: Life, night: Night, folder: Path) -> Path:
    """Keep a run's evening, its night's files included."""
    shutil.rmtree(folder, ignore_errors=True)
    life.place.engine.dispose()
    shutil.copytree(life.place.home, folder / "home")
    evening = Evening(life.population, life.days, life.in_flight, _moved(night, life, folder))
    (folder / STATE).write_bytes(pickle.dumps(evening))
    return folder


def go_on(terms: LoopTerms, kept: Path, home: Path) -> tuple[Life, Night]:
    """A run that goes on in a new home from an evening that was kept, and the night before it."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(kept / "home", home)
    # written by this benchmark into its own folder a moment or a killed run ago
    evening: Evening = pickle.loads((kept / STATE).read_bytes())
    place = open_workspace(home)
    life = Life(terms, place, evening.population, terms.spec, evening.days, [], evening.in_flight)
    return life, evening.night


def _moved(night: Night, life: Life, folder: Path) -> Night:
    """The night as it lies in the kept folder."""
    old, new = life.place.home, folder / "home"

    def there(path: str) -> str:
        return str(new / Path(path).relative_to(old))

    outputs = {name: replace(o, path=there(o.path)) for name, o in night.outputs.items()}
    return replace(night, folder=Path(there(str(night.folder))), outputs=outputs)
