"""What an evaluation compares: the night's policies, with the active one, by protected groups."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import DatasetManifest, EncodedEpisodes
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelType
from everloop.contracts.policy_learning import PolicyComparison
from everloop.contracts.ports import Policy
from everloop.registry.loading import load_alias
from everloop.wiring import Workspace
from rl.encoders.context import layout
from rl.off_policy.compare import Entrant, compare
from rl.off_policy.evaluate import HeldOut
from rl.runtime import load_policy

FILES = ("policy.onnx", "policy.safetensors", "policy.json")
COMPARED = "compared"
"""A checkpoint's lineage holds under it the versions that its night compared, parted by spaces."""

_COUNTED_HALVINGS = 20
"""Beyond so many halvings of exploration's excess nobody needs to count on."""


def active_policy(workspace: Workspace, spec: LoopSpec, tenant: str) -> Policy | None:
    """The serving policy, its checksum verified; None where none is active yet."""
    model = load_alias(spec.name, workspace.registry, workspace.blobs, tenant=tenant)
    if model is None:
        return None
    return load_policy(model.weights, model.checkpoint.weights_sha256, spec)


def candidates_so_far(
    workspace: Workspace,
    spec: LoopSpec,
    tenant: str,
    logical_date: date,
    versions: Collection[str],
) -> int:
    """How many policies, tonight's ``versions`` included, were judged on people of this holdout.

    Windows that overlap share people, so every policy that a night within the window compared counts,
    report-only ones too, once per version of the weights: a night with K learners is K candidates. A
    night's pairing and emotion models decide nothing and are none.
    """
    first = logical_date - timedelta(days=spec.thresholds.window_days - 1)
    judged = set(versions)
    for row in workspace.registry.checkpoints(spec.name, tenant):
        if row.model_type is not ModelType.INTERVENTION:
            continue
        day = date.fromisoformat(row.lineage["logical_date"])
        if first <= day <= logical_date:
            judged.update(row.lineage.get(COMPARED, row.lineage["version"]).split())
    return len(judged)


def logged_so_far(workspace: Workspace, spec: LoopSpec, manifest: DatasetManifest) -> int:
    """How many episodes of the loop had ever been logged when a dataset version was read.

    The service counts the whole log, not the window, to know how much to explore.
    """
    enough = _COUNTED_HALVINGS * spec.serving.exploration_halves_after
    counted = workspace.jobs.new_episodes(
        spec.name, 0, enough, manifest.tenant, until=manifest.episode_watermark
    )
    return max(counted, manifest.episodes)


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


def compare_policies(
    spec: LoopSpec,
    workspace: Workspace,
    tenant: str,
    logical_date: str,
    manifest: DatasetManifest,
    logged: EncodedEpisodes,
    entrants: Sequence[tuple[Entrant, Path]],
    chosen: Path,
) -> PolicyComparison:
    """Judge every policy of the night and copy the one to ship into the folder ``chosen``."""
    versions = {entrant.policy.version for entrant, _ in entrants}
    day = date.fromisoformat(logical_date)
    judging = HeldOut(
        spec,
        logged,
        active_policy(workspace, spec, tenant),
        candidates=candidates_so_far(workspace, spec, tenant, day, versions),
        groups=protected_groups(spec, logged),
        logged=logged_so_far(workspace, spec, manifest),
    )
    found = compare(judging, [entrant for entrant, _ in entrants])
    folder = next(folder for entrant, folder in entrants if entrant.learner == found.chosen)
    chosen.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(folder / name, chosen / name)
    return found
