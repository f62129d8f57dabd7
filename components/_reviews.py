"""What a run finds strange, put before people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.oversight import ReviewItem, review_id_of
from everloop.contracts.rollout_ports import ReviewStore
from everloop.rewards.suspicion import Suspicion


def queue_suspicions(
    queue: ReviewStore, manifest: DatasetManifest, found: Sequence[Suspicion], now: datetime
) -> int:
    """Put what nobody has looked at into the review queue; how many are new.

    Finding it again, by whatever run, is the same review.
    """
    return queue.flag(
        [
            ReviewItem(
                review_id=review_id_of(manifest.loop, one.kind, one.episode_id, manifest.tenant),
                kind=one.kind,
                loop=manifest.loop,
                episode_id=one.episode_id,
                reason=one.reason,
                score=one.score,
                flagged_at=now,
                tenant=manifest.tenant,
            )
            for one in found
        ]
    )
