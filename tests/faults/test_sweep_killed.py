"""A sweep that is killed goes on where its trials were, and a population-based one trains on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from everloop.contracts.documents import read
from rl.policy_card import PolicyCard
from rl.runtime import load_policy
from rl.tune import parse_space
from rl.tune.objective import JOURNEYS_AGAIN
from rl.tune.plan import SweepPlan
from rl.tune.sweep import SweepResult, SweepTable, TrialRow, sweep
from tests.learning.worlds import World, identity, loop_of, people

pytestmark = [
    pytest.mark.slow,
    # Ray starts processes whose sockets it leaves to the collector
    pytest.mark.filterwarnings("default"),
]
SPEC = loop_of(2, 2, iterations=10, environments=16, rollout_length=16, hidden=16)
SPACE = ("training.learning_rate=loguniform(1e-4,1e-2)", "training.epochs=randint(1,4)")


def run(folder: Path, scheduler: str, watch: list[TrialRow], pause: float = 0.0) -> SweepResult:
    def progress(row: TrialRow) -> None:
        watch.append(row)
        (folder.parent / "reports").write_text(str(len(watch)))
        time.sleep(pause)

    plan = SweepPlan(parse_space(SPACE, SPEC), 4, scheduler, 2, 3)  # type: ignore[arg-type]
    return sweep(SPEC, World(identity), people(SPEC), plan, folder, progress=progress)


def killed_in_mid_sweep(folder: Path, scheduler: str, reports: int) -> None:
    line = (
        "import sys; from pathlib import Path; from tests.faults.test_sweep_killed import run; "
        "run(Path(sys.argv[1]), sys.argv[2], [], 1.0)"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", line, str(folder), scheduler], cwd=root
    ) as process:
        told, give_up = folder.parent / "reports", time.monotonic() + 200
        while not (told.exists() and int(told.read_text() or 0) >= reports):
            assert process.poll() is None, "the sweep ended before it could be killed"
            assert time.monotonic() < give_up
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)


@pytest.mark.timeout(600)
def test_a_killed_population_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    killed_in_mid_sweep(folder, "pbt", reports=20)
    assert not (folder / "trials.json").exists()
    watch: list[TrialRow] = []
    result = run(folder, "pbt", watch)
    assert result.continued
    first = {row.trial: row.iterations for row in reversed(watch)}
    assert max(first.values()) > 1  # Tune keeps its own state every ten seconds
    table = read(SweepTable, result.path)
    assert table == result.table
    assert [row.iterations for row in table.trials] == [10] * 4
    assert {row.ended for row in table.trials} == {"finished"}
    values = [row.value.value for row in table.trials if row.value is not None]
    assert values == sorted(values, reverse=True)
    assert len(values) == 4
    for row in table.trials:
        assert 1e-4 <= float(row.settings["training.learning_rate"]) <= 1e-2
        assert row.settings["training.epochs"] in {1, 2, 3, 4}
    assert result.judged_again.n == JOURNEYS_AGAIN
    best = table.trials[0].value
    assert best is not None
    assert result.judged_again.value == pytest.approx(best.value, abs=best.high - best.low)
    card = read(PolicyCard, folder / "best" / "policy.json")
    assert card.user_model_release == table.user_model_release == "world"
    assert load_policy(folder / "best" / "policy.onnx", card.onnx_sha256).version == card.version
