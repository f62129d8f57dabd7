"""Where a training runs: this process, several of this host, or a Ray cluster, by one configuration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from everloop.adaptation.training.job import TrainingJob, run_job
from everloop.adaptation.training.progress import Progress, silent
from everloop.contracts.documents import read, write
from everloop.contracts.errors import ShouldFixArgument, ShouldProvideEngine
from everloop.contracts.voice_spec import Placement, PlacementSpec
from everloop.contracts.voices import AdapterFigures

JOB = "job.json"
_MODULE = "everloop.adaptation.training.job"


def train_placed(
    job: TrainingJob, on_progress: Progress = silent, environment: Mapping[str, str] | None = None
) -> AdapterFigures:
    """Run a job where ``job.spec.placement`` says; what it published is in ``job.out``.

    Args:
        on_progress: told of each step in this process; other processes print theirs.
        environment: of launched processes; None for this one's.

    Raises:
        ShouldFixArgument: a private training is asked for elsewhere, or the batch cannot be divided.
        ShouldProvideEngine: the launched processes failed; their words are on standard error.
    """
    placement = job.spec.placement
    if placement.where is Placement.LOCAL:
        found = run_job(job, on_progress)
        if found is None:
            raise ShouldFixArgument(
                "voice.placement.where=local runs in one process, and this is one of several.",
                "Set it to accelerate.",
            )
        return found
    require_placeable(job)
    path = write(job, job.work / JOB)
    job.figures.unlink(missing_ok=True)
    if placement.where is Placement.ACCELERATE:
        code = subprocess.run(  # noqa: S603
            launch_line(placement, path), check=False, env=environment
        ).returncode
        if code:
            raise ShouldProvideEngine(
                f"accelerate's processes ended with {code}.", "Read what they said above."
            )
    else:
        from everloop.adaptation.training.ray_train import train_on_ray  # noqa: PLC0415

        train_on_ray(path, placement, job.work / "ray")
    return read(AdapterFigures, job.figures)


def launch_line(placement: PlacementSpec, job: Path) -> tuple[str, ...]:
    """The command that starts ``placement.processes`` processes of a job on this host.

    Each has ``placement.cpus`` threads; with GPUs each has one of its own.
    """
    several = placement.processes > 1
    device = (("--multi_gpu",) if several else ()) if placement.gpus else ("--cpu",)
    return (
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *device,
        *("--num_processes", str(placement.processes), "--num_machines", "1"),
        # The trainers cast by themselves; compilation would make every length another program.
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
        *("--num_cpu_threads_per_process", str(placement.cpus)),
        # Any free port, so that two trainings on a host do not meet.
        *("--main_process_port", "0"),
        *("--module", _MODULE, str(job)),
    )


def require_placeable(job: TrainingJob) -> None:
    """Refuse a job that more than one process cannot do: ``ShouldFixArgument``."""
    placement = job.spec.placement
    if job.spec.privacy.epsilon is not None:
        raise ShouldFixArgument(
            f"A private training runs in one process, and voice.placement.where={placement.where.value}.",
            "Set it to local: the noise of a release never leaves the process that reserved it.",
        )
    curriculum = job.spec.phases
    if curriculum.accumulation % placement.processes:
        raise ShouldFixArgument(
            f"voice.placement.processes={placement.processes} does not divide the curriculum's "
            f"accumulation={curriculum.accumulation}.",
            "Choose one that does, so that the effective batch stays the same.",
        )
