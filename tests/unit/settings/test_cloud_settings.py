"""What the environment says of the cloud, and what it must not say."""

from __future__ import annotations

import pytest

from everloop import settings
from everloop.contracts.errors import ShouldFixArgument
from everloop.settings import BigQueryTables, Bucket, GoogleProject

VARIABLES = (
    settings.STORAGE_URL,
    settings.BIGQUERY,
    settings.GOOGLE_PROJECT,
    settings.GOOGLE_LOCATION,
    settings.VERTEX,
)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_nothing_said_is_this_machine() -> None:
    assert settings.storage() is None
    assert settings.bigquery() is None
    assert settings.google_project() is None


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("gs://data", Bucket("data", "")),
        ("gs://data/", Bucket("data", "")),
        ("gs://my-data.example.com/team/everloop/", Bucket("my-data.example.com", "team/everloop")),
    ],
)
def test_a_bucket_and_its_prefix(url: str, place: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.STORAGE_URL, url)
    assert settings.storage() == place


@pytest.mark.parametrize(
    "url",
    ["data", "s3://data", "gs://", "gs://Data", "gs://d", "gs://data?x", "/data", "gs:/data/x"],
)
def test_what_is_no_bucket_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.STORAGE_URL, url)
    with pytest.raises(ShouldFixArgument, match=settings.STORAGE_URL) as refused:
        settings.storage()
    assert repr(url) in refused.value.message
    assert "gs://bucket" in refused.value.remedy


def test_tables_and_their_location(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.BIGQUERY, "my-project.everloop_log")
    assert settings.bigquery() == BigQueryTables("my-project", "everloop_log", "US")
    monkeypatch.setenv(settings.GOOGLE_LOCATION, "europe-west4")
    assert settings.bigquery() == BigQueryTables("my-project", "everloop_log", "europe-west4")


@pytest.mark.parametrize("text", ["everloop_log", "my-project.", ".log", "my-project.a-b", "P.log"])
def test_what_are_no_tables_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.BIGQUERY, text)
    with pytest.raises(ShouldFixArgument, match=settings.BIGQUERY):
        settings.bigquery()


def test_a_project_with_and_without_vertex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.GOOGLE_PROJECT, "my-project")
    assert settings.google_project() == GoogleProject("my-project", "", False)
    monkeypatch.setenv(settings.GOOGLE_LOCATION, "europe-west4")
    monkeypatch.setenv(settings.VERTEX, "1")
    assert settings.google_project() == GoogleProject("my-project", "europe-west4", True)
    monkeypatch.setenv(settings.VERTEX, "0")
    assert settings.google_project() == GoogleProject("my-project", "europe-west4", False)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({settings.VERTEX: "1"}, settings.GOOGLE_PROJECT),
        ({settings.VERTEX: "yes"}, settings.VERTEX),
        ({settings.GOOGLE_PROJECT: "My Project"}, settings.GOOGLE_PROJECT),
        ({settings.GOOGLE_PROJECT: "my-project", settings.VERTEX: "1"}, settings.GOOGLE_LOCATION),
    ],
)
def test_a_project_that_cannot_be_told_is_named(
    said: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ShouldFixArgument, match=named):
        settings.google_project()
