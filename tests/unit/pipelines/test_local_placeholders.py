"""The place of the scheduled moment, where nothing was scheduled."""

from __future__ import annotations

import pytest
from kfp.local import placeholder_utils

from components._runtime import SCHEDULED
from pipelines.local_placeholders import no_schedule


def resolved(text: str) -> object:
    inputs = {"inputs": {"parameterValues": {"a": "b"}}, "outputs": {"outputFile": "/o"}}
    rest = ("pipeline", "task", "/root", "job", "id")
    return placeholder_utils.resolve_individual_placeholder(text, inputs, *rest)


def test_it_is_empty_and_everything_else_as_before() -> None:
    before = placeholder_utils.resolve_individual_placeholder
    with no_schedule():
        assert resolved(SCHEDULED) == ""
        assert resolved("{{$.inputs.parameters['a']}}") == "b"
        assert resolved("{{$.pipeline_job_uuid}}") == "job"
    assert placeholder_utils.resolve_individual_placeholder is before


def test_kfp_still_needs_it() -> None:
    with pytest.raises(IndexError):
        resolved(SCHEDULED)
