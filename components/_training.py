"""Training with a place for its own checkpoints, so that a killed night continues."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from everloop import settings
from everloop.contracts.figures import TrainingFigures, TrainingPoint
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from rl.ppo.cluster import Cluster
from rl.ppo.training import train

FILES = ("policy.onnx", "policy.safetensors", "policy.json")


def train_resumably(
    spec: LoopSpec,
    model: UserModel,
    people: ProfileBatch,
    code: str,
    workspace: Path,
    folder: Path,
) -> TrainingFigures:
    """Train in a folder named by everything that the training depends on; keep only its result.

    The environment says whether Ray's workers help (``settings.ray_workers``).

    Args:
        spec: the loop.
        model: the private user model.
        people: the private profiles.
        code: checksum of our source.
        workspace: where unfinished trainings wait; ``tensorboard/<version>`` there keeps the events.
        folder: receives the policy's files.
    """
    asked = (spec.checksum, model.release_id, people.release_id, people.encoder, code)
    place = workspace / "training" / hashlib.sha256("\0".join(asked).encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)

    def tell(point: TrainingPoint) -> None:
        print(
            f"@progress {point.iteration}/{spec.training.iterations}, reward {point.reward:.3f} "
            f"[{point.low:.3f}, {point.high:.3f}]",
            flush=True,
        )

    asked_of_ray = settings.ray_workers()
    cluster = (
        Cluster(asked_of_ray.address, asked_of_ray.runners, asked_of_ray.learners)
        if asked_of_ray
        else None
    )
    result = train(spec, model, people, people.encoder, spec.training.seed, place, tell, cluster)
    for name in FILES:
        shutil.copyfile(place / name, folder / name)
    kept = workspace / "tensorboard" / result.card.version
    shutil.rmtree(kept, ignore_errors=True)
    shutil.move(place / "tensorboard", kept)
    shutil.rmtree(place)
    return result.figures
