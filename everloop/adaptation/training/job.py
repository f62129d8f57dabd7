"""A training written down, so that other processes can run it as a module with the file as argument.

Every process trains the same adapter on its share of each batch; the first one publishes it. With several
processes a killed job begins anew.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.training.progress import Progress, silent
from everloop.adaptation.training.reward_weights import RewardScorer
from everloop.adaptation.training.train import train_adapter
from everloop.contracts.documents import read, write
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import AdapterFigures, StepLog, StrategyChoice


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """``train_adapter``'s arguments, as files that every process can read.

    Attributes:
        instances: a file of training instances.
        earlier: another one, of what was learned before.
        scorer: folder and checksum of the reward model, where on-policy learning needs one.
        figures: where the first process writes ``AdapterFigures``.
    """

    base: BaseFolder
    spec: VoiceSpec
    choice: StrategyChoice
    instances: Path
    out: Path
    work: Path
    figures: Path
    seed: int
    start_from: AdapterFolder | None = None
    scorer: tuple[Path, str] | None = None
    earlier: Path | None = None


def run_job(job: TrainingJob, on_progress: Progress = silent) -> AdapterFigures | None:
    """Take part in a job; its figures in the first process, None in the others."""
    from accelerate import PartialState  # noqa: PLC0415

    state = PartialState()
    first = state.is_main_process
    work, out = job.work, job.out
    if state.num_processes > 1:
        # What every process publishes on the way is its own; the weights are the same.
        work = job.work / f"process-{state.process_index}"
        shutil.rmtree(work, ignore_errors=True)
        out = job.out if first else work / "out"
    scorer = None if job.scorer is None else RewardScorer(job.base, *job.scorer)
    found = train_adapter(
        job.base,
        job.spec,
        job.choice,
        tuple(read_instances(job.instances)),
        out,
        work,
        job.seed,
        start_from=job.start_from,
        on_progress=on_progress if first else silent,
        scorer=scorer,
        earlier=() if job.earlier is None else tuple(read_instances(job.earlier)),
    )
    if first:
        write(found, job.figures)
    state.wait_for_everyone()
    return found if first else None


def run_file(path: Path) -> None:
    """Take part in the job that a file describes."""
    run_job(read(TrainingJob, path), _tell)


def _tell(step: StepLog, steps: int) -> None:
    print(f"@progress {step.phase} {step.step}/{steps}, loss {step.loss:.3f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise ShouldFixArgument(f"{len(sys.argv) - 1} arguments.", "Name the job's file.")
    run_file(Path(sys.argv[1]))
