from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from everloop import settings


@pytest.mark.parametrize(
    "package", ["everloop.adaptation.training.models", "everloop.speaking.base"]
)
def test_libraries_of_models_fetch_and_report_nothing(package: str) -> None:
    code = (
        f"import {package}; from huggingface_hub import constants; "
        "assert constants.is_offline_mode() and constants.HF_HUB_DISABLE_TELEMETRY"
    )
    loud = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "0"}
    subprocess.run([sys.executable, "-c", code], env=loud, check=True)


def test_a_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.VOICE_CACHE, raising=False)
    assert settings.voice_cache(Path("/home")) == Path("/home/voices")
    monkeypatch.setenv(settings.VOICE_CACHE, "/elsewhere")
    assert settings.voice_cache(Path("/home")) == Path("/elsewhere")
