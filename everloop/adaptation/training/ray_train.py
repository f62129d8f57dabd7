"""A training as a Ray Train job: the same job file, run by workers that Ray places on its cluster."""

from __future__ import annotations

from pathlib import Path

from everloop.contracts.errors import ShouldProvideEngine
from everloop.contracts.voice_spec import PlacementSpec


def train_on_ray(job: Path, placement: PlacementSpec, place: Path) -> None:
    """Run a job's file on ``placement.processes`` workers; file, base and data must be where all can read.

    The cluster is the one that Ray was told of (``RAY_ADDRESS``), or one that it starts on this host.

    Args:
        place: where Ray keeps what it writes about the job.

    Raises:
        ShouldProvideEngine: a worker failed.
    """
    from ray.train import RunConfig, ScalingConfig, TrainingFailedError  # noqa: PLC0415
    from ray.train.torch import TorchTrainer  # noqa: PLC0415

    trainer = TorchTrainer(
        _worker,
        train_loop_config={"job": str(job), "threads": placement.cpus},
        scaling_config=ScalingConfig(
            num_workers=placement.processes,
            use_gpu=placement.gpus > 0,
            resources_per_worker=resources_of(placement),
        ),
        run_config=RunConfig(name="voice", storage_path=str(place.absolute())),
    )
    try:
        trainer.fit()
    except TrainingFailedError as problem:
        raise ShouldProvideEngine(
            f"A worker of the Ray Train job failed: {problem}.", "Read what it said above."
        ) from problem


def resources_of(placement: PlacementSpec) -> dict[str, float]:
    """What each worker asks of the cluster."""
    asked = {"CPU": float(placement.cpus)}
    return asked | ({"GPU": float(placement.gpus)} if placement.gpus else {})


def _worker(config: dict[str, str | int]) -> None:
    import torch  # noqa: PLC0415

    from everloop.adaptation.training.job import run_file  # noqa: PLC0415

    torch.set_num_threads(int(config["threads"]))
    run_file(Path(str(config["job"])))
