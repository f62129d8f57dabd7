"""The whole rewards stage, every figure of the report included: ``... with_stage FOLDER OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.rewards.inputs import dataset_in
from everloop.loops import load
from everloop.rewards.runner import aggregate

if __name__ == "__main__":
    aggregate(load("companion"), dataset_in(Path(sys.argv[1])), Path(sys.argv[2]))
