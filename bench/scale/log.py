"""The population's month as rows of a workspace's log, day by day.

Rows are exactly those of ``SqlEventLog``, checksums included, and go in through the same statements.
The file is made before anybody reads it: without a journal and in one transaction, so that what counts
is how fast rows are made. A load that does not finish leaves nothing that is taken for a workspace.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import NullPool, create_engine

from bench.scale.evidence import ten_each
from bench.scale.terms import SIGNALS_EACH, VISITS, ScaleTerms
from everloop import settings
from everloop.contracts.documents import write_atomically
from everloop.contracts.episodes import Episode
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from everloop.storage.column_types import microseconds
from everloop.storage.payloads import payload_sha256
from everloop.storage.schema import reward_signals, training_episodes
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.bulk import Bulk, bulk_of
from everloop.storage.sql.event_rows import episode_row
from everloop.wiring import Workspace, open_workspace
from synthetic.population import DayOfDecisions, Population, PopulationSpec, logging_policy
from synthetic.population.catalogue import SIGNALS
from synthetic.population.evidence import Evidence

Tell = Callable[[str], None]
MODEL_VERSION: Final = "companion-rules-1"
TENANT: Final = "default"
_LOADED = "loaded.json"
_IDS = 96
_CACHE_KIB = 1_500_000


def load_log(terms: ScaleTerms, tell: Tell) -> dict[str, int]:
    """Fill a new workspace, unless it was filled before; what it holds.

    Returns:
        ``episodes``, ``signals`` and ``people`` of the log, open episodes included.
    """
    done = terms.folder / _LOADED
    if done.exists():
        return dict(json.loads(done.read_text()))
    shutil.rmtree(terms.folder, ignore_errors=True)
    terms.folder.mkdir(parents=True)
    terms.write_loop()
    place = _new_workspace(terms)
    held = _fill(terms, place, load(terms.loop), tell)
    write_atomically(json.dumps(held).encode(), done)
    return held


def _new_workspace(terms: ScaleTerms) -> Workspace:
    """Pseudonyms, and with them who is held out, follow from the seed; the other keys are random."""
    terms.home.mkdir()
    keys = {name: secrets.token_hex(settings.MIN_KEY_BYTES) for name in settings.KEYS}
    keys[settings.PSEUDONYM_KEY] = f"{terms.seed:064x}"
    told = "".join(f"{name}={key}\n" for name, key in keys.items())
    write_atomically(told.encode(), terms.home / settings.SECRETS_FILE)
    settings.initialise(terms.home)
    return open_workspace(terms.home)


def _fill(terms: ScaleTerms, place: Workspace, spec: LoopSpec, tell: Tell) -> dict[str, int]:
    place.engine.dispose()
    population = Population(
        spec, terms.people, terms.seed, PopulationSpec(visits_per_day=VISITS, start=terms.days[0])
    )
    held = {"episodes": 0, "signals": 0}
    engine = create_engine(f"sqlite:///{place.home / settings.DATABASE_FILE}", poolclass=NullPool)
    with engine.connect() as connection:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.commit()
        people: set[str] = set()
        with connection.begin():
            bulk = bulk_of(connection)
            for day in terms.days:
                played = population.day(day, logging_policy)
                ids = _uuids(
                    np.random.default_rng([terms.seed, _IDS, day.toordinal()]), len(played)
                )
                evidence = ten_each(played, terms.seed, SIGNALS_EACH)
                people |= _store_day(place, spec, terms.seed, bulk, played, ids, evidence)
                held["episodes"] += len(played)
                held["signals"] += len(evidence)
                tell(f"{day}: {held['episodes']:,} episodes, {held['signals']:,} signals")
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    engine.dispose()
    return held | {"people": len(people)}


def _store_day(
    place: Workspace,
    spec: LoopSpec,
    seed: int,
    bulk: Bulk,
    played: DayOfDecisions,
    ids: list[str],
    evidence: Evidence,
) -> set[str]:
    """Store a day; the people who were decided for."""
    day = played.date
    arrived = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    counts = {counters.EPISODES: len(played), counters.SIGNALS: len(evidence)}
    first = bulk.advance(TENANT, counts)
    people: set[str] = set()
    episodes = episode_rows(place, spec, played, ids, first[counters.EPISODES], arrived)
    for some in _portions(episodes):
        people.update(row["user_id"] for row in some)
        bulk.insert(training_episodes, some)
    for some in _portions(
        signal_rows(seed, played, ids, evidence, first[counters.SIGNALS], arrived)
    ):
        bulk.insert(reward_signals, some)
    return people


def episode_rows(
    place: Workspace,
    spec: LoopSpec,
    played: DayOfDecisions,
    ids: list[str],
    first: int,
    ingested_at: datetime,
) -> Iterator[dict[str, Any]]:
    """A day's decisions as the service stores them: under pseudonyms, with health fields sealed."""
    made, actions = played.decisions, played.responses.domain.actions
    names: dict[str, str] = {}

    def person(user_id: str) -> str:
        return names.setdefault(user_id, place.pseudonyms.of(user_id, TENANT))

    part = 4096
    for start in range(0, len(played), part):
        rows = range(start, min(start + part, len(played)))
        contexts = made.contexts.where(slice(start, start + part)).snapshots(actions)
        for row, context in zip(rows, contexts, strict=True):
            arguments = played.action_arguments(row)
            if arguments:
                arguments["user_ids"] = [person(user) for user in arguments["user_ids"]]
            episode = Episode(
                episode_id=ids[row],
                user_id=person(played.user_ids[row]),
                loop=spec.name,
                context_snapshot=place.vault.seal(spec, TENANT, ids[row], context),
                action_taken=actions[made.action[row]],
                timestamp=datetime.fromtimestamp(int(made.timestamp[row]), UTC),
                model_version=MODEL_VERSION,
                propensity=min(1.0, float(made.propensity[row])),
                valid_actions=played.valid_actions(row),
                action_arguments=arguments,
            )
            yield episode_row(episode, first + row, ingested_at, payload_sha256(episode))


def signal_rows(
    seed: int,
    played: DayOfDecisions,
    ids: list[str],
    evidence: Evidence,
    first: int,
    ingested_at: datetime,
) -> Iterator[dict[str, Any]]:
    """A day's signals in the order in which they came in: the rows of ``event_rows.signal_row``, made
    without a record each."""
    came = played.decisions.timestamp[evidence.decision] + evidence.latency
    found = evidence.where(np.argsort(came, kind="stable"))
    names = _uuids(np.random.default_rng([seed, _IDS, played.date.toordinal(), 1]), len(found))
    at = microseconds(ingested_at)
    columns = (found.decision, found.kind, found.value, found.latency, found.confidence)
    listed = (column.tolist() for column in columns)
    for seq, (name, row, kind, value, latency, confidence) in enumerate(
        zip(names, *listed, strict=True), first
    ):
        episode_id, signal_type = ids[row], SIGNALS[kind]
        sure = "" if confidence == 1.0 else f'"confidence":{confidence!r},'
        payload = (
            f'{{{sure}"episode_id":"{episode_id}","latency":{latency},"signal_id":"{name}",'
            f'"signal_type":"{signal_type}","value":{value!r}}}'
        )
        yield {
            "tenant": TENANT,
            "signal_id": name,
            "seq": seq,
            "episode_id": episode_id,
            "signal_type": signal_type,
            "value": value,
            "latency": latency,
            "confidence": confidence,
            "schema_version": 1,
            "ingested_at": at,
            "payload_sha256": hashlib.sha256(payload.encode()).digest(),
        }


def _uuids(rng: np.random.Generator, n: int) -> list[str]:
    """Random ones (version 4), as clients make them."""
    raw = np.frombuffer(rng.bytes(16 * n), dtype=np.uint8).reshape(n, 16).copy()
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    text = raw.tobytes().hex()
    return [
        f"{text[i : i + 8]}-{text[i + 8 : i + 12]}-{text[i + 12 : i + 16]}-"
        f"{text[i + 16 : i + 20]}-{text[i + 20 : i + 32]}"
        for i in range(0, 32 * n, 32)
    ]


def _portions(rows: Iterator[dict[str, Any]], size: int = 8192) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
