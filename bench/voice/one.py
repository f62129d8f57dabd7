"""One training of one system in a process of its own; writes its figures as JSON.

python -m bench.voice.one SYSTEM METHOD SEED BASE FILE [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from pathlib import Path

import torch

from bench.voice.problem import BATCH, QUICK, Size, comparisons, corrections, tokens, voice
from everloop.adaptation.training.models import load_tokenizer
from everloop.adaptation.training.rendering import Renderer
from everloop.speaking.base import open_base

MODULES = {"everloop": "with_everloop", "trl": "with_trl", "trl_in_parts": "with_trl"}


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.voice.one", description=__doc__)
    parser.add_argument("system", choices=list(MODULES))
    parser.add_argument("method", choices=["sft", "dpo"])
    parser.add_argument("seed", type=int)
    parser.add_argument("base", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = QUICK if options.quick else Size()
    base, spec = open_base(options.base), voice(size)
    renderer = Renderer(load_tokenizer(base), size.max_length)
    drawn = (corrections if options.method == "sft" else comparisons)(
        renderer, BATCH * size.steps, options.seed
    )
    counted = tokens(renderer, drawn)
    module = importlib.import_module(f"bench.voice.{MODULES[options.system]}")
    parts = "_in_parts" if options.system.endswith("_in_parts") else ""
    train = getattr(module, options.method + parts)
    with tempfile.TemporaryDirectory() as place:
        began = time.process_time()
        losses = train(base, spec, drawn, Path(place), options.seed)
        used = time.process_time() - began
    if len(losses) != size.steps:
        raise RuntimeError(f"{options.system} took {len(losses)} steps of {size.steps}.")
    row = {
        "tokens": counted,
        "train_cpu_s": used,
        "tokens_per_cpu_s": counted / used,
        "losses": list(losses),
    }
    options.file.write_text(json.dumps(row))


if __name__ == "__main__":
    main()
