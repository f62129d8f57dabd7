"""The id of a checkpoint: what it consists of and what it was made from, in one UUID."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from everloop.contracts.episodes import canonical_json
from everloop.contracts.models import ModelType

NAMESPACE = uuid.UUID("6f0a8b9e-6a57-5c0f-9c1d-2f6a3c1f7b52")
"""Fixed for ever: it is part of every checkpoint's id."""


def checkpoint_id(
    loop: str,
    tenant: str,
    model_type: ModelType,
    files: Mapping[str, str],
    lineage: Mapping[str, str],
) -> str:
    """UUID5 (RFC 9562) of the canonical JSON of all arguments: the same training, the same id.

    Args:
        loop, tenant, model_type: what the model serves.
        files: file name -> SHA-256.
        lineage: name -> id or checksum of what it was made from.
    """
    name = canonical_json(
        {
            "loop": loop,
            "tenant": tenant,
            "model_type": str(model_type),
            "files": dict(files),
            "lineage": dict(lineage),
        }
    )
    return str(uuid.uuid5(NAMESPACE, name))
