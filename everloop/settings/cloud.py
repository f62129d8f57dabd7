"""Where production keeps what a laptop keeps in the workspace folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from everloop.contracts.errors import ShouldFixArgument

STORAGE_URL = "EVERLOOP_STORAGE_URL"
BIGQUERY = "EVERLOOP_BIGQUERY"
GOOGLE_PROJECT = "EVERLOOP_GOOGLE_PROJECT"
GOOGLE_LOCATION = "EVERLOOP_GOOGLE_LOCATION"
VERTEX = "EVERLOOP_VERTEX"
BIGQUERY_MAX_BYTES = "EVERLOOP_BIGQUERY_MAX_BYTES"
BIGQUERY_EMULATOR = "BIGQUERY_EMULATOR_HOST"
BIGQUERY_STORAGE_EMULATOR = "BIGQUERY_STORAGE_EMULATOR_HOST"
DEFAULT_MAX_BYTES = 1 << 40
_BUCKET = re.compile(r"gs://(?P<bucket>[a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(?P<prefix>[^?#]*))?")
_TABLES = re.compile(
    r"(?P<project>[a-z][a-z0-9:.-]{4,61}[a-z0-9])\.(?P<dataset>[A-Za-z0-9_]{1,1024})"
)
_PROJECT = re.compile(r"[a-z][a-z0-9:.-]{4,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Bucket:
    """``gs://name/prefix``; ``prefix`` has no slash at either end, and may be empty."""

    name: str
    prefix: str


@dataclass(frozen=True, slots=True)
class BigQueryTables:
    """The dataset that holds the mirrored log, and where it is.

    ``maximum_bytes``: what one statement may read before BigQuery refuses it. ``emulator``: the address of
    an emulator that is asked instead, anonymously; ``storage_emulator``: where it serves Arrow, as
    ``host:port``, without which rows are read as JSON.
    """

    project: str
    dataset: str
    location: str
    maximum_bytes: int = DEFAULT_MAX_BYTES
    emulator: str = ""
    storage_emulator: str = ""


@dataclass(frozen=True, slots=True)
class GoogleProject:
    """Where figures are sent. ``vertex``: experiments and model monitoring, too."""

    project: str
    location: str
    vertex: bool


def storage() -> Bucket | None:
    """Where datasets and artefacts are, if not in the workspace folder.

    Raises:
        ShouldFixArgument: the address is no ``gs://bucket`` or ``gs://bucket/prefix``.
    """
    url = os.environ.get(STORAGE_URL, "")
    if not url:
        return None
    return bucket_of(STORAGE_URL, url)


def bucket_of(variable: str, url: str) -> Bucket:
    """The bucket that a variable names.

    Raises:
        ShouldFixArgument: the address is no ``gs://bucket`` or ``gs://bucket/prefix``.
    """
    found = _BUCKET.fullmatch(url)
    if found is None:
        raise ShouldFixArgument(
            f"{variable}={url!r} is no bucket.",
            "Give gs://bucket or gs://bucket/prefix, or nothing.",
        )
    return Bucket(found["bucket"], (found["prefix"] or "").strip("/"))


def bigquery() -> BigQueryTables | None:
    """Where the log is mirrored and rewards are aggregated, if not on this machine.

    Raises:
        ShouldFixArgument: it is no ``project.dataset``, or the limit is no number of bytes.
    """
    text = os.environ.get(BIGQUERY, "")
    if not text:
        return None
    found = _TABLES.fullmatch(text)
    if found is None:
        raise ShouldFixArgument(
            f"{BIGQUERY}={text!r} is no dataset of BigQuery's.", "Give project.dataset, or nothing."
        )
    limit = os.environ.get(BIGQUERY_MAX_BYTES, "") or str(DEFAULT_MAX_BYTES)
    if not limit.isdecimal() or int(limit) < 1:
        raise ShouldFixArgument(
            f"{BIGQUERY_MAX_BYTES}={limit!r} is no number of bytes.", "Give a whole number above 0."
        )
    return BigQueryTables(
        found["project"],
        found["dataset"],
        os.environ.get(GOOGLE_LOCATION, "") or "US",
        int(limit),
        os.environ.get(BIGQUERY_EMULATOR, ""),
        os.environ.get(BIGQUERY_STORAGE_EMULATOR, ""),
    )


def google_project() -> GoogleProject | None:
    """Where figures of runs and of the service are sent, if anywhere.

    Raises:
        ShouldFixArgument: the project is no project's id, or Vertex AI is asked for without a location.
    """
    project, location = os.environ.get(GOOGLE_PROJECT, ""), os.environ.get(GOOGLE_LOCATION, "")
    vertex = os.environ.get(VERTEX, "")
    if vertex not in {"", "0", "1"}:
        raise ShouldFixArgument(f"{VERTEX}={vertex!r} is neither 0 nor 1.", "Set it to 0 or 1.")
    if not project:
        if vertex == "1":
            raise ShouldFixArgument(
                f"{VERTEX}=1 without {GOOGLE_PROJECT}.", f"Set {GOOGLE_PROJECT}."
            )
        return None
    if _PROJECT.fullmatch(project) is None:
        raise ShouldFixArgument(
            f"{GOOGLE_PROJECT}={project!r} is no project's id.", "Give the id, not name or number."
        )
    if vertex == "1" and not location:
        raise ShouldFixArgument(
            f"{VERTEX}=1 without {GOOGLE_LOCATION}.", "Name a region, such as europe-west4."
        )
    return GoogleProject(project, location, vertex == "1")
