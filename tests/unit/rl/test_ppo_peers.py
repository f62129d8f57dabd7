"""Several learners that share minibatches make the update that one would make alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rl.environment import JourneyBatch, JourneySource
from rl.module import PolicyNetwork
from rl.ppo.peers import SharedNetwork, add_gradients, together
from rl.ppo.rollout import collect
from rl.ppo.schedule import stream
from rl.ppo.update import UpdateRule, gradient_step, update
from tests.learning.worlds import World, identity, loop_of, people

LEARNERS = 3
RULE = UpdateRule(epochs=2, minibatch=50, kl_stop=1.0)
"""128 decisions make minibatches of 43, 43 and 42; three learners cannot share 43 evenly."""


def learn(rank: int, place: Path) -> None:
    """One learner's part: an update, then its weights in a file of its own."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{place / 'meet'}", rank=rank, world_size=LEARNERS
    )
    assert together()
    network = trained(shared=True)
    save_file(network.state_dict(), place / f"{rank}.safetensors")
    torch.distributed.destroy_process_group()


def trained(shared: bool) -> PolicyNetwork:
    network = PolicyNetwork(4, 2, 8, 1)
    source = JourneySource(World(identity), people(loop_of(2, 2)), 4)
    rollout = collect(network, JourneyBatch(source, 16), stream(1, 0, 0, 0), 8, 0.3, 0.9, 0.95)[0]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)

    def order(epoch: int, size: int) -> np.ndarray:
        return stream(1, 0, 99, epoch).permutation(size)

    def add() -> None:
        add_gradients(network)

    seen = cast("PolicyNetwork", SharedNetwork(network)) if shared else network
    step = gradient_step(network, optimizer, RULE, add if shared else None)
    update(seen, step, rollout, RULE, 0.3, order)
    return network


@pytest.mark.slow
def test_shared_minibatches_give_every_learner_the_weights_of_one(tmp_path: Path) -> None:
    assert not together()
    line = "import sys; from pathlib import Path; from tests.unit.rl.test_ppo_peers import learn; "
    line += "learn(int(sys.argv[1]), Path(sys.argv[2]))"
    root = Path(__file__).parents[3]
    learners = [
        subprocess.Popen([sys.executable, "-c", line, str(rank), str(tmp_path)], cwd=root)
        for rank in range(LEARNERS)
    ]
    assert [learner.wait(120) for learner in learners] == [0] * LEARNERS
    alone = trained(shared=False).state_dict()
    first = load_file(tmp_path / "0.safetensors")
    assert not torch.equal(first["policy.0.weight"], PolicyNetwork(4, 2, 8, 1).policy[0].weight)
    for name, values in alone.items():
        torch.testing.assert_close(first[name], values, rtol=1e-4, atol=1e-6)
    for rank in range(1, LEARNERS):
        other = load_file(tmp_path / f"{rank}.safetensors")
        assert all(torch.equal(other[name], values) for name, values in first.items())


@pytest.mark.parametrize("rows", [1, 2])
def test_fewer_rows_than_learners_leave_some_without_work(rows: int) -> None:
    parts = torch.tensor_split(torch.zeros(rows, 6), LEARNERS)
    assert [len(part) for part in parts] == [1] * rows + [0] * (LEARNERS - rows)
    logits, values = PolicyNetwork(4, 2, 8, 1)(parts[-1])
    assert (logits.shape, values.shape) == ((0, 2), (0,))
