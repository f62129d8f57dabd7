"""Composition root: the only place that chooses adapters.

A workspace is a folder on a laptop: ``state.db`` (SQLite), ``datasets/``, ``blobs/``, ``runs/``,
``secrets.env`` and ``keys.sha256``. With ``EVERLOOP_DATABASE_URL`` its rows are on PostgreSQL instead, with
``EVERLOOP_STORAGE_URL`` its datasets and blobs in a bucket, and ``cache/`` holds copies of what was read.
With ``EVERLOOP_BIGQUERY`` extractions read a mirror of the log, and rewards are aggregated beside it.
Runs' folders and reports stay in the workspace.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from everloop import settings
from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.errors import ShouldFixArgument, ShouldRepairLedger
from everloop.contracts.ledger_ports import SpendJournal
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.monitoring import DriftMonitor, ExperimentLog, MetricSink
from everloop.contracts.personas import PersonaStore, TeachingLog
from everloop.contracts.ports import (
    BlobStore,
    DatasetStore,
    EventLog,
    PrivacyLedger,
    Registry,
    RunStore,
)
from everloop.contracts.rollout_ports import (
    DeploymentStore,
    NoticeStore,
    OversightStore,
    ReviewStore,
    RolloutStore,
    TallyStore,
    VariantStore,
)
from everloop.contracts.service_ports import (
    AuditLog,
    DecisionStore,
    FeedbackStore,
    JobStore,
    KeyStore,
    PersonStore,
    Tenancy,
)
from everloop.contracts.synthetic_jobs import SyntheticJobStore
from everloop.contracts.voice_ports import VoiceLog, VoiceStore
from everloop.contracts.warehouse import RewardWriter
from everloop.monitoring.folder import FolderDriftMonitor, FolderExperimentLog, FolderMetricSink
from everloop.privacy.health import HealthVault
from everloop.privacy.ledger import Ledger
from everloop.privacy.pseudonyms import Pseudonyms
from everloop.storage.local.blobs import LocalBlobStore
from everloop.storage.local.clock import SystemClock
from everloop.storage.local.dataset_key import keep_datasets_of
from everloop.storage.local.dataset_making import LogReaders
from everloop.storage.local.datasets import LocalDatasetStore
from everloop.storage.local.erased_artefacts import ErasedArtefacts, HeldArtefacts
from everloop.storage.local.journal import FolderJournal
from everloop.storage.mirrored_people import MirroredPersonStore
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.decisions import SqlDecisionStore
from everloop.storage.sql.deployments import SqlDeploymentStore
from everloop.storage.sql.engine import open_database
from everloop.storage.sql.episode_reviews import SqlReviewStore
from everloop.storage.sql.erasure_journal import ErasureJournal
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.feedback import SqlFeedbackStore
from everloop.storage.sql.group_commit import GroupCommit
from everloop.storage.sql.jobs import SqlJobStore
from everloop.storage.sql.key_marks import check_keys, key_of
from everloop.storage.sql.keys import SqlKeyStore
from everloop.storage.sql.ledger_store import SqlLedgerStore, keeps_journal
from everloop.storage.sql.notices import SqlNoticeStore
from everloop.storage.sql.oversights import SqlOversightStore
from everloop.storage.sql.people import SqlPersonStore
from everloop.storage.sql.persona_revisions import SqlPersonaStore
from everloop.storage.sql.profiles import SqlProfileStore
from everloop.storage.sql.registry import SqlRegistry
from everloop.storage.sql.rollouts import SqlRolloutStore
from everloop.storage.sql.runs import SqlRunStore
from everloop.storage.sql.synthetic_jobs import SqlSyntheticJobStore
from everloop.storage.sql.tallies import SqlTallyStore
from everloop.storage.sql.teaching_log import SqlTeachingLog
from everloop.storage.sql.tenancy import SqlTenancy
from everloop.storage.sql.variants import SqlVariantStore
from everloop.storage.sql.voice_log import SqlVoiceLog
from everloop.storage.sql.voices import SqlVoiceStore
from everloop.storage.workspace_mirror import WorkspaceMirror, look_at_dataset

if TYPE_CHECKING:  # its package brings Google's libraries
    from everloop.storage.gcp.copying import Copied

DATABASE = settings.DATABASE_FILE


@dataclass(frozen=True, slots=True)
class Workspace:
    """Every port, wired to the adapters of one workspace."""

    home: Path
    engine: Engine
    log: EventLog
    datasets: DatasetStore
    blobs: BlobStore
    registry: Registry
    rollouts: RolloutStore
    tallies: TallyStore
    deployments: DeploymentStore
    oversights: OversightStore
    runs: RunStore
    ledger: PrivacyLedger
    profiles: SqlProfileStore
    pseudonyms: Pseudonyms
    vault: HealthVault
    keys: KeyStore
    audit: AuditLog
    tenancy: Tenancy
    jobs: JobStore
    synthetic_jobs: SyntheticJobStore
    feedback: FeedbackStore
    decisions: DecisionStore
    people: PersonStore
    notices: NoticeStore
    variants: VariantStore
    reviews: ReviewStore
    rewards: RewardWriter
    personas: PersonaStore
    teaching: TeachingLog
    voices: VoiceStore
    voice_log: VoiceLog


def open_workspace(
    home: Path | str | None = None, elsewhere: bool = True, restoring: bool = False
) -> Workspace:
    """Open an existing workspace (see ``everloop.settings.read`` for what it raises).

    Args:
        elsewhere: datasets and blobs are where ``EVERLOOP_STORAGE_URL`` says; else in the folder.
        restoring: for whoever restores a backup into it (see ``everloop.settings.read``).

    Raises:
        ShouldFixArgument: the folder holds datasets or blobs that the bucket lacks, or there is none.
        ShouldAskForScope, ShouldSlowDown, ShouldRetryLater: the bucket does not serve this process.
    """
    configured = settings.read(home, restoring)
    engine = open_database(configured.database_url, configured.home / DATABASE)
    pseudonym_key = configured.fingerprints[settings.PSEUDONYM_KEY]
    following = configured.next_pseudonym_fingerprint
    if following not in {None, pseudonym_key} and following == key_of(
        engine, settings.PSEUDONYM_KEY
    ):
        raise settings.unfinished_rotation(configured.home)
    check_keys(engine, configured.fingerprints, configured.replaced, {settings.PSEUDONYM_KEY})
    place = settings.storage() if elsewhere else None
    keep_datasets(configured.home, pseudonym_key, place)
    mirror = mirror_of(engine, configured.home)
    stored = _storage(configured.home, engine, place, None if mirror is None else mirror.reader)
    clock = SystemClock()
    records = open_journal(configured.home)
    ledger = Ledger(
        SqlLedgerStore(engine),
        configured.ledger_key,
        clock,
        configured.previous_ledger_keys,
        records,
    )
    people = SqlPersonStore(
        engine,
        configured.home,
        ErasureJournal(records, pseudonym_key),
        stored.artefacts,
        ledger.standing,
    )
    people.finish()
    if not keeps_journal(engine):
        with suppress(ShouldRepairLedger):  # every reservation says so; recovering needs it open
            ledger.follow_journal()
    return Workspace(
        home=configured.home,
        engine=engine,
        log=SqlEventLog(engine, clock),
        datasets=stored.datasets,
        blobs=stored.blobs,
        registry=SqlRegistry(engine),
        rollouts=SqlRolloutStore(engine, clock),
        tallies=SqlTallyStore(engine),
        deployments=SqlDeploymentStore(engine, clock),
        oversights=SqlOversightStore(engine, clock),
        runs=SqlRunStore(engine),
        ledger=ledger,
        profiles=SqlProfileStore(engine),
        pseudonyms=Pseudonyms(configured.pseudonym_key),
        vault=HealthVault(configured.health_key),
        keys=SqlKeyStore(engine),
        audit=SqlAuditLog(engine, clock),
        tenancy=SqlTenancy(engine),
        jobs=SqlJobStore(engine, clock),
        synthetic_jobs=SqlSyntheticJobStore(engine, clock),
        feedback=SqlFeedbackStore(engine, clock),
        decisions=SqlDecisionStore(engine),
        people=people if mirror is None else MirroredPersonStore(people, mirror.follow_erasures),
        notices=SqlNoticeStore(engine),
        variants=SqlVariantStore(engine, clock),
        reviews=SqlReviewStore(engine),
        rewards=rewards_here if mirror is None else rewards_there(mirror),
        personas=SqlPersonaStore(engine),
        teaching=SqlTeachingLog(engine),
        voices=SqlVoiceStore(engine, clock),
        voice_log=SqlVoiceLog(engine),
    )


@dataclass(frozen=True, slots=True)
class _Storage:
    """Where datasets and blobs are, and what of them an erasure reaches."""

    datasets: DatasetStore
    blobs: BlobStore
    artefacts: HeldArtefacts


def _storage(
    home: Path, engine: Engine, place: settings.Bucket | None, readers: LogReaders | None
) -> _Storage:
    if place is None:
        return _Storage(
            LocalDatasetStore(engine, home / "datasets", readers=readers),
            LocalBlobStore(home / "blobs"),
            ErasedArtefacts(home),
        )
    found = _google_cloud().open_storage(place, engine, home, readers)
    return _Storage(found.datasets, found.blobs, found.artefacts)


def keep_datasets(home: Path, fingerprint: str, place: settings.Bucket | None) -> None:
    """Delete every dataset version that another key's people are in, here and in the bucket, if any.

    Args:
        home: the workspace folder.
        fingerprint: of the pseudonym key that the database's rows have now.
    """
    keep_datasets_of(home, fingerprint)
    if place is not None:
        _google_cloud().keep_datasets(place, fingerprint)


def copy_to_bucket(home: Path | str | None, url: str, told: Callable[[int, int], None]) -> Copied:
    """Copy what a workspace has in its own folders into a bucket; what is in it now.

    Args:
        url: ``gs://bucket/prefix``; empty: the environment's.
        told: so many of so many are copied.

    Raises:
        ShouldFixArgument: there is no such bucket, or none was named.
        ShouldRestoreArtefact: something of the workspace is damaged; what came before it is copied.
        ShouldProvideKey, ShouldAskForScope, ShouldSlowDown, ShouldRetryLater: it does not serve us.
    """
    place = settings.bucket_of("--to", url) if url else settings.storage()
    if place is None:
        raise ShouldFixArgument("No bucket is named.", "Give --to gs://bucket/prefix.")
    google = _google_cloud()
    here = open_workspace(home, elsewhere=False)
    keep_datasets(here.home, settings.read(home).fingerprints[settings.PSEUDONYM_KEY], place)
    copied: Copied = google.copy_workspace(place, here.engine, here.home, told)
    return copied


def look_at_storage() -> str:
    """Whether this process may do what a workspace needs where datasets are; in words.

    Raises:
        ShouldAskForScope: a permission is missing, or the bucket keeps what people ask to be erased.
        ShouldProvideKey, ShouldFixArgument, ShouldSlowDown, ShouldRetryLater: the bucket does not serve
            this process.
    """
    place = settings.storage()
    if place is None:
        return "the workspace folder"
    seen: str = _google_cloud().look_at_bucket(place)
    return seen


def _google_cloud() -> ModuleType:
    """Storage on Google Cloud; its libraries take a second to import, and few workspaces need them."""
    try:
        from everloop.storage.gcp import opening
    except ModuleNotFoundError as problem:
        if not str(problem.name).startswith("google"):
            raise
        raise ShouldFixArgument(
            f"{settings.STORAGE_URL} needs a package that is not installed: {problem.name}.",
            "Install everloop[gcp].",
        ) from problem
    return opening


def rewards_here(
    spec: LoopSpec,
    dataset: DatasetVersion,
    out: Path,
    memory_limit_mb: int = 1024,
    threads: int = 1,
) -> Path:
    """``RewardWriter`` on this machine; imported when it is needed, since it takes a second."""
    from everloop.rewards.table import write_rewards

    return write_rewards(spec, dataset, out, memory_limit_mb, threads)


def rewards_there(mirror: WorkspaceMirror) -> RewardWriter:
    """``RewardWriter`` beside the mirror of the log."""

    def write(
        spec: LoopSpec,
        dataset: DatasetVersion,
        out: Path,
        memory_limit_mb: int = 1024,
        threads: int = 1,
    ) -> Path:
        from everloop.rewards.warehouse import WarehouseRewards

        return WarehouseRewards(mirror.warehouse)(spec, dataset, out, memory_limit_mb, threads)

    return write


def mirror_of(engine: Engine, home: Path) -> WorkspaceMirror | None:
    """The mirror that ``EVERLOOP_BIGQUERY`` names, if any."""
    place = settings.bigquery()
    return WorkspaceMirror(engine, place, settings.PSEUDONYM_KEY, home) if place else None


def look_at_bigquery() -> str:
    """Whether this process may use the dataset that the log is mirrored in; in words.

    Raises:
        ShouldAskForScope, ShouldFixArgument, ShouldProvideKey, ShouldSlowDown, ShouldRetryLater: it does
            not serve this process.
    """
    place = settings.bigquery()
    if place is None:
        return "not used: extractions read the database"
    return look_at_dataset(place)


@dataclass(frozen=True, slots=True)
class Monitors:
    """Everybody who is told what a run came to; the workspace's own files come first."""

    metrics: tuple[MetricSink, ...]
    experiments: tuple[ExperimentLog, ...]
    drift: tuple[DriftMonitor, ...]


def local_monitors(home: Path) -> Monitors:
    """Files in the workspace."""
    root = home / "monitoring"
    return Monitors(
        (FolderMetricSink(root),), (FolderExperimentLog(root),), (FolderDriftMonitor(root),)
    )


def open_monitors(home: Path) -> Monitors:
    """Files in the workspace, and Google's services where the environment names a project.

    Vertex AI's drift needs a bucket, since it reads tables from there.

    Raises:
        ShouldFixArgument: the environment names what is no project.
        ShouldProvideKey: this process has no credentials.
    """
    here = local_monitors(home)
    named = settings.google_project()
    if named is None:
        return here
    from everloop.monitoring.google import opening

    metrics = (*here.metrics, opening.metric_sink(named))
    if not named.vertex:
        return Monitors(metrics, here.experiments, here.drift)
    bucket = settings.storage()
    elsewhere: tuple[DriftMonitor, ...] = ()
    if bucket is not None:
        from everloop.storage.gcp.immutable import ImmutableObjects
        from everloop.storage.gcp.objects import Objects

        records = ImmutableObjects(Objects(bucket), "monitoring")
        elsewhere = (opening.drift_monitor(named, records),)
    return Monitors(
        metrics, (*here.experiments, opening.experiment_log(named)), (*here.drift, *elsewhere)
    )


def open_journal(home: Path) -> SpendJournal:
    """The records outside the database that the ledger and erasures keep, in a folder or a bucket."""
    place = settings.ledger_journal(home)
    if isinstance(place, Path):
        return FolderJournal(place)
    # A second to import, which most workspaces do without.
    from everloop.storage.gcp.immutable import JOURNAL_SECONDS, ImmutableObjects
    from everloop.storage.gcp.objects import Objects

    return ImmutableObjects(Objects(place, patience=JOURNAL_SECONDS), settings.JOURNAL_FOLDER)


def open_ingest(workspace: Workspace, limit: int = 20_000, linger_s: float = 0.001) -> GroupCommit:
    """Start the thread that stores a service's events in a workspace; the caller closes it.

    Args:
        limit: records that may wait for a commit.
        linger_s: how long the first of a commit waits for company, in seconds.
    """
    return GroupCommit(workspace.engine, SystemClock(), limit, linger_s)
