"""Prepares the base once; writes its folder as JSON.

python -m bench.voice.prepare FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.record import ROOT
from bench.voice.problem import BASE
from everloop.speaking.base import prepare_base

FOLDER = ROOT / ".cache" / "bench-voice"


def main() -> None:
    """Prepare and write."""
    base = prepare_base(BASE, FOLDER)
    Path(sys.argv[1]).write_text(json.dumps(str(base.path)))


if __name__ == "__main__":
    main()
