"""Voices: where prepared bases and fetched adapters are kept."""

from __future__ import annotations

import os
from pathlib import Path

VOICE_CACHE = "EVERLOOP_VOICE_CACHE"


def voice_cache(home: Path) -> Path:
    """Folder of prepared bases (``bases``) and fetched adapters (``adapters``), each named by its checksum;
    ``voices`` in the workspace where ``EVERLOOP_VOICE_CACHE`` names no other.

    Nothing is lost with it: a base is prepared anew, an adapter fetched again.
    """
    named = os.environ.get(VOICE_CACHE, "")
    return Path(named).expanduser() if named else home / "voices"
