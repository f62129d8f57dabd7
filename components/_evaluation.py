"""What an evaluation compares with: the active policy, and the protected groups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Policy
from everloop.registry.loading import load_alias
from everloop.wiring import Workspace
from rl.encoders.context import layout
from rl.runtime import load_policy


def active_policy(workspace: Workspace, spec: LoopSpec, tenant: str) -> Policy | None:
    """The serving policy, its checksum verified; None where none is active yet."""
    model = load_alias(spec.name, workspace.registry, workspace.blobs, tenant=tenant)
    if model is None:
        return None
    return load_policy(model.weights, model.checkpoint.weights_sha256, spec)


def candidates_so_far(
    workspace: Workspace, spec: LoopSpec, tenant: str, logical_date: date, version: str
) -> int:
    """How many policies, this one included, were judged on people whom its holdout shares.

    Windows that overlap share people, so every registered checkpoint of a date within the window
    counts, once per version of the weights.
    """
    first = logical_date - timedelta(days=spec.thresholds.window_days - 1)
    judged = {version}
    for row in workspace.registry.checkpoints(spec.name, tenant):
        day = date.fromisoformat(row.lineage["logical_date"])
        if first <= day <= logical_date:
            judged.add(row.lineage["version"])
    return len(judged)


def protected_groups(spec: LoopSpec, episodes: EncodedEpisodes) -> Mapping[str, NDArray[np.str_]]:
    """Protected attribute -> (n,) group of each episode, "" where it is not known."""
    blocks = {block.field: block for block in layout(spec).of_kind("category")}
    groups = {}
    for name in spec.protected:
        one_hot = episodes.context[:, blocks[name].dimensions]
        labels = np.array([*spec.field(name).choices, ""])
        choice = np.where(one_hot.max(axis=1) > 0, one_hot.argmax(axis=1), len(labels) - 1)
        groups[name] = labels[choice]
    return groups
