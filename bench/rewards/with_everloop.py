"""The reward table by everloop, the same work as its peers: ``... with_everloop FOLDER OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.rewards.inputs import dataset_in
from everloop.loops import load
from everloop.rewards.table import write_rewards

if __name__ == "__main__":
    write_rewards(load("companion"), dataset_in(Path(sys.argv[1])), Path(sys.argv[2]))
