"""A policy that was trained elsewhere comes back through the shared store, by its question's name."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from everloop.contracts.documents import read, sha256_of
from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId, ShouldRestoreArtefact
from everloop.contracts.models import RunRecord, StageRecord
from everloop.wiring import Workspace
from rl.policy_card import PolicyCard

PIPELINE = "policy-training"
FILES = ("policy.json", "policy.onnx", "policy.safetensors")
_STAGE = "train_policy"
_BETWEEN = " sha256 "


def publish(
    workspace: Workspace, name: str, folder: Path, logical_date: str, started: datetime
) -> RunRecord:
    """Put a trained policy's files into the blob store and say under its question's name where they are.

    Publishing it again changes nothing that anybody reads. It is not registered: no gate has judged it.

    Args:
        workspace: whose store and database.
        name: of the policy's folder, which is derived from the question.
        folder: holds ``FILES``.
        logical_date: the day whose releases it was trained on, ISO.
        started: when the training began, UTC.
    """
    card = read(PolicyCard, folder / "policy.json")
    stored = {file: workspace.blobs.put(folder / file) for file in FILES}
    now = datetime.now(UTC)
    record = RunRecord(
        run_id=run_of(name),
        pipeline=PIPELINE,
        loop=card.loop,
        logical_date=logical_date,
        started_at=started,
        finished_at=now,
        status="succeeded",
        verdict=f"trained {card.version}; no gate has judged it",
        parameters={"policy": name, "version": card.version},
        stages=(
            StageRecord(
                stage=_STAGE,
                outcome="succeeded",
                seconds=(now - started).total_seconds(),
                summary=f"{card.steps:,} simulated decisions",
                artefacts={file: _BETWEEN.join(at) for file, at in stored.items()},
            ),
        ),
        report="",
    )
    workspace.runs.save(record)
    return record


def collect(workspace: Workspace, name: str, folder: Path) -> PolicyCard:
    """Bring a policy of that name into a folder, and see that its files belong together.

    A folder that holds it already, because both machines share the workspace, is read as it is.

    Raises:
        ShouldNameKnownId: nobody published it, and the folder does not hold it.
        ShouldRestoreArtefact: a file is missing or not what its checksum says.
    """
    if not all((folder / file).is_file() for file in FILES):
        for file, (url, sha256) in _published(workspace, name).items():
            fetched = workspace.blobs.fetch(url, sha256)
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f"{file}.partial"
            shutil.copyfile(fetched, partial)
            partial.replace(folder / file)
    card = read(PolicyCard, folder / "policy.json")
    for file, wanted in (
        ("policy.onnx", card.onnx_sha256),
        ("policy.safetensors", card.weights_sha256),
    ):
        if sha256_of(folder / file) != wanted:
            raise ShouldRestoreArtefact(
                f"{folder / file} is not what its card says.",
                "Remove the folder and repeat the command.",
            )
    return card


def run_of(name: str) -> str:
    """Id of the run under which a policy is published."""
    return f"policy-{name}"


def _published(workspace: Workspace, name: str) -> dict[str, tuple[str, str]]:
    try:
        record = workspace.runs.run(run_of(name))
    except ShouldFixArgument as problem:
        raise ShouldNameKnownId(
            f"No policy {name} was published in this workspace's database.",
            "See that both sides have the same EVERLOOP_DATABASE_URL and EVERLOOP_STORAGE_URL, or share "
            "the workspace's folder.",
        ) from problem
    (stage,) = record.stages
    found = {}
    for file in FILES:
        url, _, sha256 = stage.artefacts.get(file, "").rpartition(_BETWEEN)
        if not url:
            raise ShouldRestoreArtefact(
                f"Run {record.run_id} names no {file}.", "Train it again: --fresh."
            )
        found[file] = (url, sha256)
    return found
