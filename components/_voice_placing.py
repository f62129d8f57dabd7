"""Where a voice's training runs: in the step, in processes beside it, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from everloop import settings
from everloop.adaptation.instance_file import write_instances
from everloop.adaptation.training.job import TrainingJob
from everloop.adaptation.training.placement import require_placeable, train_placed
from everloop.adaptation.training.private import PrivateTraining
from everloop.adaptation.training.progress import Progress
from everloop.adaptation.training.reward_weights import RewardScorer
from everloop.adaptation.training.train import train_adapter
from everloop.contracts.errors import ShouldProvideEngine
from everloop.contracts.voice_spec import Placement, PlacementSpec
from everloop.contracts.voices import AdapterFigures, TrainingDataInstance


def train_where_asked(
    job: TrainingJob,
    rows: Sequence[TrainingDataInstance],
    private: PrivateTraining | None,
    on_progress: Progress,
    earlier: Sequence[TrainingDataInstance] = (),
) -> AdapterFigures:
    """Train where ``job.spec.placement`` says, and publish in ``job.out``.

    On Ray the cluster is that of ``EVERLOOP_RAY_ADDRESS``; without one Ray runs on this machine for as long
    as the training does.

    Args:
        rows: what is learned from; written into ``job.instances`` for other processes.
        private: pays for and runs a private training, which never leaves this process.
        earlier: what was learned before; written into ``job.earlier``.

    Raises:
        ShouldFixArgument: a private training is asked for elsewhere, the batch cannot be divided, or the
            cluster has too few CPUs.
        ShouldProvideEngine: accelerate or Ray is not installed, or the processes failed.
        ShouldRetryLater, ShouldProvideKey: the cluster does not answer, or does not let this process in.
    """
    placement = job.spec.placement
    if placement.where is Placement.LOCAL:
        scorer = None if job.scorer is None else RewardScorer(job.base, *job.scorer)
        return train_adapter(
            *(job.base, job.spec, job.choice, rows, job.out, job.work, job.seed),
            start_from=job.start_from,
            on_progress=on_progress,
            scorer=scorer,
            private=private,
            earlier=earlier,
        )
    require_placeable(job)
    _require_installed(placement.where)
    write_instances(rows, job.instances)
    if job.earlier is not None:
        write_instances(earlier, job.earlier)
    if placement.where is Placement.ACCELERATE:
        return train_placed(job, on_progress)
    with _cluster(placement):
        return train_placed(job, on_progress)


@contextmanager
def _cluster(placement: PlacementSpec) -> Iterator[None]:
    from rl.ppo.cluster import connected  # loads Ray

    asked = settings.ray_workers()
    with connected(None if asked is None else asked.address, placement.processes * placement.cpus):
        yield


def _require_installed(where: Placement) -> None:
    module = where.value
    if find_spec(module) is None:
        raise ShouldProvideEngine(
            f"voice.placement.where={where.value}, and {module} is not installed.",
            "Install everloop with the extra voice, or set it to local.",
        )
