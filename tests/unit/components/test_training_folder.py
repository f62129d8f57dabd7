"""What a training leaves behind in a workspace: the policy's files and its events, no checkpoints."""

from __future__ import annotations

from pathlib import Path

from components._training import FILES, train_resumably
from everloop.contracts.documents import read
from rl.policy_card import PolicyCard
from tests.learning.worlds import World, identity, loop_of, people


def test_the_policy_goes_to_its_folder_and_events_stay_in_the_workspace(tmp_path: Path) -> None:
    spec = loop_of(2, 2, iterations=1, environments=8, rollout_length=8, hidden=8, epochs=1)
    folder, workspace = tmp_path / "policy", tmp_path / "workspace"
    for _ in range(2):
        figures = train_resumably(spec, World(identity), people(spec), "code", workspace, folder)
        assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
        version = read(PolicyCard, folder / "policy.json").version
        assert len(list((workspace / "tensorboard" / version).iterdir())) == 1
        assert not list((workspace / "training").iterdir())
    assert figures.steps == 64
