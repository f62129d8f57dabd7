"""Where a training runs, and that it is the same training there."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from everloop.adaptation.instance_file import write_instances
from everloop.adaptation.training.job import TrainingJob
from everloop.adaptation.training.placement import JOB, launch_line, train_placed
from everloop.adaptation.training.ray_train import resources_of
from everloop.contracts.documents import read
from everloop.contracts.errors import ShouldFixArgument, ShouldProvideEngine
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import Placement, PlacementSpec, VoicePrivacySpec
from everloop.contracts.voices import SignalVolume, Strategy, StrategyChoice
from tests.voice_instances import pair, voice

VOLUME = SignalVolume(0, 0, 0.0, 0.0, 16.0, 0.0, 0.0, 0, 6)
CHOICE = StrategyChoice((Strategy.PREFERENCE_PAIRS,), {}, {}, VOLUME)


def _job(
    base: BaseFolder, place: Path, placement: PlacementSpec, work: str = "work"
) -> TrainingJob:
    data = place / "train.jsonl.zst"
    write_instances([pair(number) for number in range(16)], data)
    spec = voice(batch_size=2, accumulation=4).model_copy(update={"placement": placement})
    return TrainingJob(
        base, spec, CHOICE, data, place / f"{work}-out", place / work, place / f"{work}.json", 3
    )


def test_a_job_is_its_file(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    from everloop.contracts.documents import write

    job = _job(tiny_voice, tmp_path, PlacementSpec())
    assert read(TrainingJob, write(job, tmp_path / JOB)) == job


def test_locally_it_is_trained_in_this_process(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    seen: list[int] = []
    job = _job(tiny_voice, tmp_path, PlacementSpec())
    figures = train_placed(job, lambda step, _: seen.append(step.step))
    assert seen == [1, 2]
    assert figures.phases[0].method == "dpo"
    assert (job.out / "adapter_model.safetensors").exists()
    assert json.loads(job.figures.read_bytes())["adapter_sha256"] == figures.adapter_sha256


@pytest.mark.parametrize(
    ("processes", "gpus", "device"),
    [(1, 0, ["--cpu"]), (4, 0, ["--cpu"]), (1, 1, []), (8, 1, ["--multi_gpu"])],
)
def test_the_launch_line_names_what_runs(processes: int, gpus: int, device: list[str]) -> None:
    placement = PlacementSpec(where=Placement.ACCELERATE, processes=processes, gpus=gpus, cpus=3)
    line = launch_line(placement, Path("/data/job.json"))
    assert line[:3] == (sys.executable, "-m", "accelerate.commands.launch")
    assert [part for part in line if part in ("--cpu", "--multi_gpu")] == device
    assert line[line.index("--num_processes") + 1] == str(processes)
    assert line[line.index("--num_cpu_threads_per_process") + 1] == "3"
    assert line[-2:] == ("everloop.adaptation.training.job", "/data/job.json")


def test_accelerate_understands_the_launch_line() -> None:
    from accelerate.commands.launch import launch_command_parser

    line = launch_line(
        PlacementSpec(where=Placement.ACCELERATE, processes=2), Path("/data/job.json")
    )
    parsed = launch_command_parser().parse_args(line[3:])
    assert (parsed.num_processes, parsed.cpu, parsed.module) == (2, True, True)
    assert parsed.training_script == "everloop.adaptation.training.job"
    assert parsed.training_script_args == ["/data/job.json"]


def test_what_a_worker_asks_of_a_cluster() -> None:
    assert resources_of(PlacementSpec(where=Placement.RAY, processes=3, cpus=2)) == {"CPU": 2.0}
    asked = PlacementSpec(where=Placement.RAY, processes=3, gpus=1)
    assert resources_of(asked) == {"CPU": 1.0, "GPU": 1.0}


def test_several_processes_are_said_with_a_place() -> None:
    with pytest.raises(ValidationError, match="does not fit where=local"):
        PlacementSpec(processes=2)


def test_what_cannot_be_placed_is_refused(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    uneven = PlacementSpec(where=Placement.ACCELERATE, processes=3)
    with pytest.raises(ShouldFixArgument, match="processes=3 does not divide"):
        train_placed(_job(tiny_voice, tmp_path, uneven))
    job = _job(tiny_voice, tmp_path, PlacementSpec(where=Placement.RAY, processes=2))
    private = job.spec.model_copy(update={"privacy": VoicePrivacySpec(epsilon=1.0)})
    with pytest.raises(ShouldFixArgument, match="A private training runs in one process"):
        train_placed(replace(job, spec=private))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_two_processes_take_the_same_steps_as_one(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    alone = train_placed(_job(tiny_voice, tmp_path, PlacementSpec(), "one"))
    two = PlacementSpec(where=Placement.ACCELERATE, processes=2)
    job = _job(tiny_voice, tmp_path, two, "two")
    together = train_placed(job, environment=_environment())
    assert (job.out / "adapter_model.safetensors").exists()
    assert together.phases[0].effective_batch == alone.phases[0].effective_batch == 8
    assert together.phases[0].steps == alone.phases[0].steps
    for ours, theirs in zip(together.steps, alone.steps, strict=True):
        assert ours.learning_rate == theirs.learning_rate
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=0.05)


@pytest.mark.slow
def test_processes_that_fail_are_an_error(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    two = PlacementSpec(where=Placement.ACCELERATE, processes=2)
    job = replace(_job(tiny_voice, tmp_path, two), instances=tmp_path / "missing")
    with pytest.raises(ShouldProvideEngine, match="accelerate's processes ended with 1"):
        train_placed(job, environment=_environment())
