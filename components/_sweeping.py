"""A search for training settings with a place of its own, so that a killed one goes on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from components._alternatives import NOTES, LearnedNote
from components._pages import Told, training_rows
from components._training import FILES
from everloop import settings
from everloop.contracts.documents import write
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from everloop.contracts.sweeps import SweepTable, TrialRow
from everloop.reporting.wording import interval, plural
from rl.tune.plan import SweepPlan
from rl.tune.space import parse_space

if TYPE_CHECKING:
    from rl.tune.plan import Scheduler

BETWEEN = ";"
"""Parts the dimensions of a search space in one text."""


def plan_of(
    spec: LoopSpec, space: str, trials: int, scheduler: str, cpus: int, seed: int
) -> SweepPlan:
    """What is searched, from a graph's parameters; ``space``'s dimensions are parted by ``BETWEEN``.

    Raises:
        ShouldFixArgument: naming what cannot be searched so.
    """
    texts = [text.strip() for text in space.split(BETWEEN) if text.strip()]
    return SweepPlan(parse_space(texts, spec), trials, cast("Scheduler", scheduler), cpus, seed)


def sweep_resumably(
    spec: LoopSpec,
    model: UserModel,
    people: ProfileBatch,
    plan: SweepPlan,
    code: str,
    workspace: Path,
    policy: Path,
    table: Path,
    others: Sequence[Path],
) -> Told:
    """Search, and leave the best trial's policy as a night's training does.

    The environment says which Ray cluster runs the trials (``settings.ray_workers``); its nodes share the
    workspace. What is under way is kept in ``tuning/`` there, in a folder named by the question.

    Args:
        spec: the loop.
        model: the private user model.
        people: the private profiles.
        plan: what is searched.
        code: checksum of our source.
        workspace: where an unfinished search waits.
        policy: folder that receives the best trial's policy.
        table: file that receives the ``SweepTable``.
        others: folders of other policies, left empty: an experiment brings one candidate, chosen among its
            own trials.

    Returns:
        What the step says.
    """
    # Ray and torch take seconds to load, and what is wrong so far is told without them
    from rl.tune.sweep import sweep

    asked = (
        *(spec.checksum, model.release_id, people.release_id, people.encoder, code),
        *(str(plan.trials), plan.scheduler, str(plan.seed)),
        *sorted(map(str, plan.space.dimensions)),
    )
    digest = hashlib.sha256("\0".join(asked).encode()).hexdigest()
    place = workspace / "tuning" / f"experiment-{spec.name}-{digest[:12]}"
    cluster = settings.ray_workers()

    def tell(row: TrialRow) -> None:
        print(f"@progress trial {row.number}: {_worth(row)} ({row.told})", flush=True)

    found = sweep(
        spec, model, people, plan, place, cluster.address if cluster else None, progress=tell
    )
    policy.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(found.best.card_path.parent / name, policy / name)
    write(found.best.figures, policy / "figures.json")
    write(found.table, table)
    for other in others:
        write((), other / NOTES, tuple[LearnedNote, ...])
    _, rows, metrics, plots = training_rows(found.best.figures)
    return _summary(found.table), [*sweep_rows(found.table), *rows], metrics, plots


def sweep_rows(table: SweepTable) -> list[tuple[str, str]]:
    """The winner, then every trial with its settings and its worth."""
    return [
        ("sweep", table.sweep),
        ("best trial", f"{table.winner.number}: {table.winner.told}"),
        ("judged again, with people whom no trial met", interval(table.judged_again)),
        *(
            (f"trial {row.number}", f"{_worth(row)}, {row.ended}: {row.told}")
            for row in table.trials
        ),
    ]


def _summary(table: SweepTable) -> str:
    return (
        f"best of {plural(len(table.trials), 'trial')}: {table.winner.told}; judged again: "
        f"{interval(table.judged_again)} a journey, simulated"
    )


def _worth(row: TrialRow) -> str:
    return "not judged" if row.value is None else interval(row.value)
