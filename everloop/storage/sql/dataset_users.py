"""Who still needs a dataset version: a date's pin, a model, a deployment or what was decided about it."""

from __future__ import annotations

from sqlalchemy import Connection, Text, cast, exists, select

from everloop.storage.ledger_tables import privacy_ledger
from everloop.storage.rollout_tables import deployments, oversights, rollout_events
from everloop.storage.schema import dataset_pins, model_checkpoints

_IDS = (dataset_pins.c.dataset_id, privacy_ledger.c.dataset_id)
_DOCUMENTS = (
    model_checkpoints.c.lineage,
    deployments.c.verdict,
    rollout_events.c.evidence,
    oversights.c.evidence,
)
"""Where an id stands among other things; 64 hexadecimal digits are nothing else by chance."""


def is_needed(connection: Connection, dataset_id: str) -> bool:
    """Whether any tenant's pin, checkpoint, deployment, trial, oversight or release names a version."""
    named = [
        *(exists().where(column == dataset_id) for column in _IDS),
        *(exists().where(cast(column, Text).contains(dataset_id)) for column in _DOCUMENTS),
    ]
    return any(connection.scalar(select(found)) for found in named)
