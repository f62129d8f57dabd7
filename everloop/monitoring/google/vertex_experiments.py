"""``ExperimentLog`` on Vertex AI Experiments: a loop is an experiment, a night is a run of it.

Experiments are contexts of Vertex ML Metadata. Their form is the one that Google's own library writes
(``google/cloud/aiplatform/metadata``), so that the console shows them: an experiment is a
``system.Experiment``, a run a ``system.ExperimentRun`` below it whose metadata holds ``_params``,
``_metrics`` and ``_state``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from google.cloud.aiplatform_v1 import MetadataServiceClient
from google.cloud.aiplatform_v1.types import Context

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.monitoring import RunSummary
from everloop.monitoring.google.calls import RETRY, TIMEOUT_S, finished, found, made, told

EXPERIMENT, RUN = "system.Experiment", "system.ExperimentRun"
SCHEMA_VERSION = "0.0.1"
PERMISSION = "roles/aiplatform.user"
_LONGEST_ID = 100
"""The console adds a suffix to ids of at most 128 characters."""


class VertexExperimentLog:
    """``ExperimentLog`` of one project and location.

    Args:
        client: of ML Metadata, in that location.
        project, location: where the default metadata store is.
    """

    def __init__(self, client: MetadataServiceClient, project: str, location: str) -> None:
        self._client = client
        self._parent = f"projects/{project}/locations/{location}"
        self._store = f"{self._parent}/metadataStores/default"

    def record(self, run: RunSummary) -> None:
        """See ``ExperimentLog``."""
        with told("Vertex AI Experiments", PERMISSION):
            experiment = self._experiment(run.loop, run.tenant)
            name = f"{experiment}-{identifier(run.run_id)}"
            row = Context(
                display_name=run.run_id,
                schema_title=RUN,
                schema_version=SCHEMA_VERSION,
                metadata={
                    "_params": _parameters(run),
                    "_metrics": dict(run.metrics),
                    "_state": "COMPLETE",
                },
            )
            if self._create(name, row) is None:
                row.name = f"{self._store}/contexts/{name}"
                self._client.update_context(context=row, retry=RETRY, timeout=TIMEOUT_S)
            # Adding a child that is there already changes nothing.
            self._client.add_context_children(
                context=f"{self._store}/contexts/{experiment}",
                child_contexts=[f"{self._store}/contexts/{name}"],
                retry=RETRY,
                timeout=TIMEOUT_S,
            )

    def runs(self, loop: str, tenant: str = "default") -> tuple[RunSummary, ...]:
        """See ``ExperimentLog``."""
        experiment = f"{self._store}/contexts/{experiment_of(loop, tenant)}"
        with told("Vertex AI Experiments", PERMISSION):
            if found(self._client.get_context, name=experiment) is None:
                return ()
            rows = self._client.list_contexts(
                request={
                    "parent": self._store,
                    "filter": f'schema_title="{RUN}" AND in_context("{experiment}")',
                },
                retry=RETRY,
                timeout=TIMEOUT_S,
            )
            runs = [_summary(row) for row in rows]
        return tuple(sorted(runs, key=lambda r: (r.logical_date, r.run_id), reverse=True))

    def _experiment(self, loop: str, tenant: str) -> str:
        """Id of the loop's experiment, which is made with the project's metadata store where needed."""
        name = experiment_of(loop, tenant)
        if found(self._client.get_context, name=f"{self._store}/contexts/{name}") is not None:
            return name
        if found(self._client.get_metadata_store, name=self._store) is None:
            operation = made(
                self._client.create_metadata_store,
                request={
                    "parent": self._parent,
                    "metadata_store_id": "default",
                    "metadata_store": {},
                },
            )
            if operation is not None:
                finished(operation, 60.0)
        experiment = Context(
            display_name=f"everloop {loop} ({tenant})",
            schema_title=EXPERIMENT,
            schema_version=SCHEMA_VERSION,
            metadata={"experiment_deleted": False},
        )
        self._create(name, experiment)
        return name

    def _create(self, name: str, context: Context) -> Context | None:
        return made(
            self._client.create_context,
            request={"parent": self._store, "context": context, "context_id": name},
        )


def experiment_of(loop: str, tenant: str) -> str:
    """Id of a loop's experiment."""
    return f"everloop-{identifier(f'{loop}-{tenant}')}"


def identifier(name: str) -> str:
    """Small letters, digits and dashes that stay different for different names."""
    plain = re.sub(r"[^a-z0-9-]", "-", name.lower())
    if plain == name and len(plain) <= _LONGEST_ID // 2:
        return plain
    return f"{plain[:32]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _parameters(run: RunSummary) -> Mapping[str, str]:
    own = {
        "run_id": run.run_id,
        "loop": run.loop,
        "tenant": run.tenant,
        "logical_date": run.logical_date.isoformat(),
        "verdict": run.verdict,
    }
    return {**run.parameters, **own}


def _summary(row: Any) -> RunSummary:
    try:
        told_of = {str(k): str(v) for k, v in dict(row.metadata["_params"]).items()}
        own = {name: told_of.pop(name) for name in ("run_id", "loop", "tenant", "verdict")}
        day = date.fromisoformat(told_of.pop("logical_date"))
        metrics = {str(k): float(v) for k, v in dict(row.metadata["_metrics"]).items()}
    except (KeyError, TypeError, ValueError) as problem:
        raise ShouldRestoreArtefact(
            f"{row.name} was not written by everloop ({problem!r}).",
            "Move it to another experiment.",
        ) from problem
    return RunSummary(**own, logical_date=day, parameters=told_of, metrics=metrics)
