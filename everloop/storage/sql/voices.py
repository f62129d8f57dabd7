"""``VoiceStore`` in the workspace database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Engine, and_, select

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.ports import Clock
from everloop.contracts.sandboxes import RunningVoice, VoiceConfiguration
from everloop.contracts.voices import (
    ModelVersion,
    TrainingDataInstance,
    UserDataPackage,
    VersionStatus,
)
from everloop.storage.local.clock import SystemClock
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.persona_revisions import NOBODY, owner_of
from everloop.storage.sql.voice_configurations import publish, running, withdraw
from everloop.storage.sql.voice_instances import (
    link,
    note_forgotten,
    read_instances,
    store_instances,
)
from everloop.storage.sql.voice_packages import store_packages
from everloop.storage.sql.voice_sides import judging
from everloop.storage.sql.voice_versions import (
    change_status,
    read_versions,
    require_same,
    require_version,
    store_version,
    version_row,
)
from everloop.storage.voice_tables import (
    model_version_instances,
    model_versions,
    training_data_instances,
    training_instance_sources,
)

_CHUNK = 1_000
_PAGE = 500


class SqlVoiceStore:
    """Packages, training instances and model versions of one workspace.

    Args:
        engine: from ``open_database``.
        clock: says when something arrived.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def add_package(self, package: UserDataPackage, actor: str) -> bool:
        """See ``VoiceStore``."""
        return self.add_packages((package,), actor)[0]

    def add_packages(self, packages: Sequence[UserDataPackage], actor: str) -> tuple[bool, ...]:
        """See ``VoiceStore``."""
        new: dict[int, bool] = {}
        places: dict[str, list[int]] = {}
        for place, package in enumerate(packages):
            places.setdefault(package.tenant, []).append(place)
        if not packages:
            return ()
        with writing(self._engine) as connection:
            for mine in places.values():
                told = store_packages(
                    connection, [packages[place] for place in mine], actor, self._clock.now()
                )
                new |= {mine[place]: fresh for place, fresh in told.items()}
        return tuple(new[place] for place in range(len(packages)))

    def add_instances(self, instances: Sequence[TrainingDataInstance], adapter_version: str) -> int:
        """See ``VoiceStore``; ``ShouldFixInput`` for a text that no database could keep."""
        if not adapter_version:
            raise ShouldFixArgument("Instances of no adapter.", "Name what learned from them.")
        new = 0
        dropped: dict[str, int] = {}
        for start in range(0, len(instances), _CHUNK):
            by_tenant: dict[str, list[TrainingDataInstance]] = {}
            for each in instances[start : start + _CHUNK]:
                by_tenant.setdefault(each.tenant, []).append(each)
            with writing(self._engine) as connection:
                for tenant, mine in by_tenant.items():
                    stored, kept = store_instances(connection, mine, self._clock.now())
                    link(connection, tenant, adapter_version, [one.instance_id for one in kept])
                    gone = {one.instance_id for one in mine} - {one.instance_id for one in kept}
                    dropped[tenant] = dropped.get(tenant, 0) + len(gone)
                    note_forgotten(connection, tenant, adapter_version, dropped[tenant])
                    new += stored
        return new

    def instances_of(
        self, source_id: str, tenant: str = "default"
    ) -> tuple[TrainingDataInstance, ...]:
        """See ``VoiceStore``."""
        source = training_instance_sources.c
        made = select(source.instance_id).where(
            source.tenant == tenant, source.source_id == source_id
        )
        query = (
            select(training_data_instances)
            .where(
                training_data_instances.c.tenant == tenant,
                training_data_instances.c.instance_id.in_(made),
            )
            .order_by(training_data_instances.c.instance_id)
        )
        with reading(self._engine) as connection:
            return read_instances(connection, tenant, connection.execute(query).mappings().all())

    def instances(self, model_id: str, tenant: str = "default") -> Iterator[TrainingDataInstance]:
        """See ``VoiceStore``; by id."""
        of, table = model_version_instances.c, training_data_instances.c
        joined = and_(table.tenant == of.tenant, table.instance_id == of.instance_id)
        query = (
            select(training_data_instances)
            .select_from(model_version_instances.join(training_data_instances, joined))
            .where(of.tenant == tenant, of.model_id == model_id)
            .order_by(of.instance_id)
            .limit(_PAGE)
        )
        last = ""
        while True:
            with reading(self._engine) as connection:
                rows = connection.execute(query.where(of.instance_id > last)).mappings().all()
                found = read_instances(connection, tenant, rows)
            yield from found
            if len(found) < _PAGE:
                return
            last = found[-1].instance_id

    def add_version(self, version: ModelVersion) -> ModelVersion:
        """See ``VoiceStore``; references to what is not stored are left out.

        Raises:
            ShouldResolveConflict: the model is a version of another persona or person.
        """
        with writing(self._engine) as connection:
            if version_row(connection, version.model_id, version.tenant) is None:
                store_version(connection, version)
                link(connection, version.tenant, version.model_id, version.training_references)
            row = require_version(connection, version.model_id, version.tenant)
            require_same(row, version)
            return read_versions(connection, version.tenant, [row], references=True)[0]

    def set_status(self, model_id: str, status: VersionStatus, tenant: str = "default") -> None:
        """See ``VoiceStore``; ``ShouldNameKnownId`` for an unknown model."""
        with writing(self._engine) as connection:
            change_status(connection, model_id, status, tenant)

    def versions(
        self,
        persona: str,
        user_id: str | None = None,
        tenant: str = "default",
        references: bool = True,
    ) -> tuple[ModelVersion, ...]:
        """See ``VoiceStore``."""
        query = (
            select(model_versions)
            .where(
                model_versions.c.tenant == tenant,
                model_versions.c.persona == persona,
                model_versions.c.user_id == owner_of(user_id),
            )
            .order_by(model_versions.c.version_number.desc())
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
            return read_versions(connection, tenant, rows, references)

    def judging(
        self, persona: str, judges: Mapping[str, bool], tenant: str = "default"
    ) -> frozenset[str]:
        """See ``VoiceStore``."""
        with writing(self._engine) as connection:
            return judging(connection, tenant, persona, judges, self._clock.now())

    def publish(
        self, loop: str, instance: str, configuration: VoiceConfiguration, tenant: str = "default"
    ) -> None:
        """See ``VoiceStore``."""
        said = RunningVoice(loop, instance, self._clock.now(), configuration, tenant)
        with writing(self._engine) as connection:
            publish(connection, said)

    def withdraw(self, instance: str) -> None:
        """See ``VoiceStore``."""
        with writing(self._engine) as connection:
            withdraw(connection, instance)

    def running(
        self, loop: str, since: datetime, tenant: str = "default"
    ) -> tuple[RunningVoice, ...]:
        """See ``VoiceStore``."""
        with reading(self._engine) as connection:
            return running(connection, tenant, loop, since)

    def learned_until(self, persona: str, tenant: str = "default") -> datetime | None:
        """See ``VoiceStore``."""
        query = (
            select(model_versions)
            .where(
                model_versions.c.tenant == tenant,
                model_versions.c.persona == persona,
                model_versions.c.user_id == NOBODY,
                model_versions.c.status != str(VersionStatus.ARCHIVED),
            )
            .order_by(model_versions.c.version_number.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
            found = read_versions(connection, tenant, rows, references=False)
        if not found or found[0].forgets:
            return None
        return found[0].data_until or found[0].creation_date
