"""Voices: where prepared bases and fetched adapters are kept."""

from __future__ import annotations

import os
from pathlib import Path

VOICE_CACHE = "EVERLOOP_VOICE_CACHE"
_SILENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def stay_offline() -> None:
    """Tell the libraries of models to fetch nothing and to report nothing, whatever the environment says.

    They read it when they are first imported: whoever imports them calls this before.
    """
    os.environ.update(_SILENT)


def voice_cache(home: Path) -> Path:
    """Folder of prepared bases (``bases``) and fetched adapters (``adapters``), each named by its checksum;
    ``voices`` in the workspace where ``EVERLOOP_VOICE_CACHE`` names no other.

    Nothing is lost with it: a base is prepared anew, an adapter fetched again.
    """
    named = os.environ.get(VOICE_CACHE, "")
    return Path(named).expanduser() if named else home / "voices"
