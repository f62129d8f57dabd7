"""What the environment says: the only package that reads it.

========================  =====================================================================
``EVERLOOP_HOME``         the workspace folder (default ``.everloop`` in the working directory)
``EVERLOOP_DATABASE_URL``  ``postgresql://user:password@host:port/database``; empty (the default): SQLite
                          in the workspace folder
``EVERLOOP_PSEUDONYM_KEY``  at least 32 bytes as hex; people's ids are hashed with it
``EVERLOOP_PSEUDONYM_KEY_NEXT``  the key that ``everloop keys rotate-pseudonyms`` is to put in its place
``EVERLOOP_LEDGER_KEY``   at least 32 bytes as hex; commits the privacy ledger to its people
``EVERLOOP_LEDGER_KEY_PREVIOUS``  keys before that one, between commas: rows committed under them verify
``EVERLOOP_HEALTH_KEY``   at least 32 bytes as hex; health fields are stored encrypted under it
``EVERLOOP_OIDC_ISSUER``  ``iss`` of the OpenID provider whose tokens the service takes, if any
``EVERLOOP_OIDC_AUDIENCE``  ``aud`` of those tokens
``EVERLOOP_OIDC_JWKS_URL``  where the provider's keys are
``EVERLOOP_OIDC_TENANT_CLAIM``  the claim that names the caller's tenant (default ``tenant``)
``EVERLOOP_NOTIFY_WEBHOOK_URL``  where notifications are posted, signed, if anywhere
``EVERLOOP_NOTIFY_WEBHOOK_SECRET``  at least 16 characters; the key of that signature
``EVERLOOP_NOTIFY_SLACK_URL``  an incoming webhook of Slack's
``EVERLOOP_NOTIFY_SMTP_URL``  ``smtp://user:password@host:587`` or ``smtps://…:465``
``EVERLOOP_NOTIFY_MAIL_FROM``  sender of notifications by email
``EVERLOOP_NOTIFY_MAIL_TO``  their recipients, between commas
``EVERLOOP_STORAGE_URL``  ``gs://bucket/prefix`` for datasets and artefacts; empty: the workspace folder
``EVERLOOP_LEDGER_JOURNAL``  folder or ``gs://bucket/prefix`` where what was spent and who was erased is
                          written down outside the database; empty: ``ledger-journal`` in the workspace,
                          or beside the datasets where the workspace has none and they are in a bucket
``EVERLOOP_BIGQUERY``     ``project.dataset`` that mirrors the log and aggregates rewards; empty: no
``EVERLOOP_BIGQUERY_MAX_BYTES``  what one statement there may read (default 1 TiB)
``EVERLOOP_GOOGLE_PROJECT``  project whose Cloud Monitoring gets figures, if any
``EVERLOOP_GOOGLE_LOCATION``  region of BigQuery and Vertex AI (BigQuery's default: US)
``EVERLOOP_VERTEX``       1: runs and drift go to Vertex AI, too
``EVERLOOP_PLATFORM``     platform file with which the service's trainings go to Kubeflow; empty: run here
``EVERLOOP_KUBEFLOW_TOKEN``  bearer token for Kubeflow (or ``EVERLOOP_KUBEFLOW_TOKEN_PATH``, a file with it)
``EVERLOOP_RAY_ADDRESS``  ``host:port`` of the Ray cluster that the graph's training joins, if any
``EVERLOOP_RAY_RUNNERS``  its remote workers that simulate (default 0: in the step itself)
``EVERLOOP_RAY_LEARNERS``  its remote workers that learn (default 0: in the step itself)
``EVERLOOP_IN_CONTAINERS``  1: the steps of a run on this machine are containers
``EVERLOOP_IMAGE``        their image, if not this version's own
``EVERLOOP_CONTAINER_MEMORY``  each one's limit, as in ``4g``; empty: none
``EVERLOOP_CONTAINER_NETWORK``  their network; ``none`` by default
``EVERLOOP_JUDGE_KEY``    bearer token of the judge that ``voice.sandbox.llm_judge`` names, if any
``EVERLOOP_JUDGE_MODEL``  its model's name (default ``judge``)
``EVERLOOP_VOICE_CACHE``  folder of prepared base models and fetched adapters; empty: ``voices`` in the
                          workspace
``RAY_AUTH_MODE``         Ray's own: ``token`` where a training cluster asks for one
``RAY_AUTH_TOKEN_PATH``   Ray's own: file with that token (or ``RAY_AUTH_TOKEN``, the token itself)
========================  =====================================================================

On a laptop ``everloop init`` writes the keys to ``secrets.env`` in the workspace, readable by its owner
alone; the database URL may stand there, too, and variables of the environment win over that file.
``keys.sha256`` beside it tells whether the keys are still the ones that the workspace's people, budgets
and health fields were recorded with. A workspace that knows no health key gets one from
``everloop init``.
"""

from __future__ import annotations

from everloop.settings.access import (
    OIDC_AUDIENCE,
    OIDC_ISSUER,
    OIDC_JWKS_URL,
    OIDC_TENANT_CLAIM,
    oidc,
)
from everloop.settings.channels import (
    MIN_SECRET_CHARACTERS,
    NOTIFY_MAIL_FROM,
    NOTIFY_MAIL_TO,
    NOTIFY_SLACK_URL,
    NOTIFY_SMTP_URL,
    NOTIFY_WEBHOOK_SECRET,
    NOTIFY_WEBHOOK_URL,
    notifications,
)
from everloop.settings.cloud import (
    BIGQUERY,
    BIGQUERY_MAX_BYTES,
    GOOGLE_LOCATION,
    GOOGLE_PROJECT,
    STORAGE_URL,
    VERTEX,
    BigQueryTables,
    Bucket,
    GoogleProject,
    bigquery,
    bucket_of,
    google_project,
    storage,
)
from everloop.settings.containers import (
    CONTAINER_MEMORY,
    CONTAINER_NETWORK,
    IMAGE,
    IN_CONTAINERS,
    Containers,
    carried,
    container_defaults,
    containers,
    engine_address,
    other_folders,
    reached,
)
from everloop.settings.journal import JOURNAL_FOLDER, LEDGER_JOURNAL, ledger_journal
from everloop.settings.judge import JUDGE_KEY, JUDGE_MODEL, JudgeAccess, judge_access
from everloop.settings.kubeflow import (
    KUBEFLOW_TOKEN,
    KUBEFLOW_TOKEN_PATH,
    PLATFORM,
    kubeflow_token,
    platform_file,
)
from everloop.settings.ray import (
    RAY_ADDRESS,
    RAY_AUTH_MODE,
    RAY_AUTH_TOKEN,
    RAY_AUTH_TOKEN_PATH,
    RAY_LEARNERS,
    RAY_RUNNERS,
    RayWorkers,
    check_ray_token,
    ray_workers,
)
from everloop.settings.threads import wait_briefly
from everloop.settings.voice import VOICE_CACHE, stay_offline, voice_cache
from everloop.settings.workspace import (
    DATABASE_FILE,
    DATABASE_URL,
    FINGERPRINT_FILE,
    HEALTH_KEY,
    HOME_VARIABLE,
    KEYS,
    LEDGER_KEY,
    LEDGER_KEY_PREVIOUS,
    MIN_KEY_BYTES,
    PSEUDONYM_KEY,
    PSEUDONYM_KEY_NEXT,
    RESTORING_FILE,
    SECRETS_FILE,
    Settings,
    default_home,
    initialise,
    read,
    replace_pseudonym_key,
    rotate_ledger_key,
    stage_pseudonym_key,
    unfinished_rotation,
)

__all__ = [
    "BIGQUERY",
    "BIGQUERY_MAX_BYTES",
    "CONTAINER_MEMORY",
    "CONTAINER_NETWORK",
    "DATABASE_FILE",
    "DATABASE_URL",
    "FINGERPRINT_FILE",
    "GOOGLE_LOCATION",
    "GOOGLE_PROJECT",
    "HEALTH_KEY",
    "HOME_VARIABLE",
    "IMAGE",
    "IN_CONTAINERS",
    "JOURNAL_FOLDER",
    "JUDGE_KEY",
    "JUDGE_MODEL",
    "KEYS",
    "KUBEFLOW_TOKEN",
    "KUBEFLOW_TOKEN_PATH",
    "LEDGER_JOURNAL",
    "LEDGER_KEY",
    "LEDGER_KEY_PREVIOUS",
    "MIN_KEY_BYTES",
    "MIN_SECRET_CHARACTERS",
    "NOTIFY_MAIL_FROM",
    "NOTIFY_MAIL_TO",
    "NOTIFY_SLACK_URL",
    "NOTIFY_SMTP_URL",
    "NOTIFY_WEBHOOK_SECRET",
    "NOTIFY_WEBHOOK_URL",
    "OIDC_AUDIENCE",
    "OIDC_ISSUER",
    "OIDC_JWKS_URL",
    "OIDC_TENANT_CLAIM",
    "PLATFORM",
    "PSEUDONYM_KEY",
    "PSEUDONYM_KEY_NEXT",
    "RAY_ADDRESS",
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_LEARNERS",
    "RAY_RUNNERS",
    "RESTORING_FILE",
    "SECRETS_FILE",
    "STORAGE_URL",
    "VERTEX",
    "VOICE_CACHE",
    "BigQueryTables",
    "Bucket",
    "Containers",
    "GoogleProject",
    "JudgeAccess",
    "RayWorkers",
    "Settings",
    "bigquery",
    "bucket_of",
    "carried",
    "check_ray_token",
    "container_defaults",
    "containers",
    "default_home",
    "engine_address",
    "google_project",
    "initialise",
    "judge_access",
    "kubeflow_token",
    "ledger_journal",
    "notifications",
    "oidc",
    "other_folders",
    "platform_file",
    "ray_workers",
    "reached",
    "read",
    "replace_pseudonym_key",
    "rotate_ledger_key",
    "stage_pseudonym_key",
    "stay_offline",
    "storage",
    "unfinished_rotation",
    "voice_cache",
    "wait_briefly",
]
