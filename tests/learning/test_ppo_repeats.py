"""Equal arguments give equal weights, in one run or in several that were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from everloop.contracts.figures import TrainingPoint
from rl.ppo import Cluster, TrainingResult, finish, train
from rl.ppo.training import CHECKPOINT_EVERY
from tests.learning.worlds import World, identity, loop_of, people

ITERATIONS = CHECKPOINT_EVERY + 2


def run(
    folder: Path,
    seed: int = 3,
    stop_after: int | None = None,
    cluster: Cluster | None = None,
    release: str = "world",
    iterations: int = ITERATIONS,
    watch: Callable[[TrainingPoint], None] | None = None,
    head_start: int = 0,
) -> TrainingResult:
    spec = loop_of(
        2,
        2,
        iterations=iterations,
        environments=16,
        rollout_length=16,
        hidden=16,
        head_start=head_start,
    )
    profiles = people(spec)

    def progress(point: TrainingPoint) -> None:
        if point.iteration == stop_after:
            raise KeyboardInterrupt

    return train(
        spec,
        World(identity, release_id=release),
        profiles,
        profiles.encoder,
        seed,
        folder,
        watch or progress,
        cluster,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return run(tmp_path_factory.mktemp("whole"))


def test_equal_seeds_give_equal_weights_and_files(whole: TrainingResult, tmp_path: Path) -> None:
    again = run(tmp_path)
    assert again.card == whole.card
    assert again.onnx_path.read_bytes() == whole.onnx_path.read_bytes()


@pytest.mark.slow
def test_another_seed_or_user_model_starts_anew(whole: TrainingResult, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=CHECKPOINT_EVERY)
    other = run(tmp_path, seed=4)
    assert other.resumed_from == 0
    assert other.weights_sha256 != whole.weights_sha256
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=CHECKPOINT_EVERY)
    assert run(tmp_path, release="another").resumed_from == 0


def test_another_version_of_the_code_starts_anew(
    whole: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=CHECKPOINT_EVERY)
    (tmp_path / "module.py").write_text("changed = True")
    monkeypatch.setattr(finish, "_CODE", tmp_path)
    again = run(tmp_path)
    assert again.resumed_from == 0
    assert again.weights_sha256 == whole.weights_sha256
    assert again.card.code_sha256 != whole.card.code_sha256


@pytest.mark.parametrize("stop_after", [1, CHECKPOINT_EVERY + 1, ITERATIONS])
def test_an_interrupted_training_continues_bit_for_bit(
    whole: TrainingResult, tmp_path: Path, stop_after: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=stop_after)
    resumed = run(tmp_path)
    finished = (
        ITERATIONS
        if stop_after == ITERATIONS
        else stop_after // CHECKPOINT_EVERY * CHECKPOINT_EVERY
    )
    assert resumed.resumed_from == finished
    assert resumed.card == whole.card
    assert [point.reward for point in resumed.curve] == [point.reward for point in whole.curve]


@pytest.mark.slow
def test_a_killed_training_that_had_a_head_start_continues_bit_for_bit(tmp_path: Path) -> None:
    once = run(tmp_path / "whole", head_start=64)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", stop_after=CHECKPOINT_EVERY, head_start=64)
    resumed = run(tmp_path / "killed", head_start=64)
    assert resumed.resumed_from == CHECKPOINT_EVERY
    assert resumed.card == once.card


def test_a_killed_process_is_continued_by_another_bit_for_bit(
    whole: TrainingResult, tmp_path: Path
) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tests.learning.test_ppo_repeats import CHECKPOINT_EVERY, run\n"
        "def hang(point):\n"
        "    if point.iteration > CHECKPOINT_EVERY:\n"
        "        time.sleep(600)\n"
        "run(Path(sys.argv[1]), watch=hang)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    record = tmp_path / "checkpoint.json"
    for _ in range(2400):
        if record.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    assert process.poll() is None, "the training ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = run(tmp_path)
    assert resumed.resumed_from == CHECKPOINT_EVERY
    assert resumed.card == whole.card


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "default"
)  # Ray starts processes whose sockets it leaves to the collector
def test_rllibs_algorithm_gives_the_same_update_and_resumes(
    whole: TrainingResult, tmp_path: Path
) -> None:
    in_driver = Cluster(runners=0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "driver", stop_after=CHECKPOINT_EVERY, cluster=in_driver)
    assert run(tmp_path / "driver", cluster=in_driver).weights_sha256 == whole.weights_sha256
    one = run(tmp_path / "one", cluster=Cluster(runners=2), iterations=2)
    two = run(tmp_path / "two", cluster=Cluster(runners=2), iterations=2)
    assert one.weights_sha256 == two.weights_sha256
    assert one.propensity_error < 1e-6
    assert one.card.steps == 2 * 16 * 16
