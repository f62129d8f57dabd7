"""One training of one system in a process of its own; writes its figures as JSON.

python -m bench.ppo.one SYSTEM SEED FILE [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path

import torch

from bench.ppo.problem import Evaluation, Problem
from bench.ppo.systems import SYSTEMS
from bench.ppo.terms import QUICK, Terms
from bench.ppo.trace import Trace, figures, sgemm_rate


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.ppo.one", description=__doc__)
    parser.add_argument("system", choices=list(SYSTEMS))
    parser.add_argument("seed", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    terms = QUICK if options.quick else Terms()
    module, function = SYSTEMS[options.system]
    before = time.process_time()
    train = getattr(importlib.import_module(f"bench.ppo.{module}"), function)
    imported = time.process_time() - before
    problem = Problem(terms.size, options.seed)
    trace = Trace(Evaluation(problem, options.seed))
    rate = sgemm_rate()
    train(terms, problem, options.seed, trace)
    torch.set_num_threads(1)
    rate = (rate + sgemm_rate()) / 2.0
    row = figures(terms, trace.points, rate) | {"import_cpu_s": imported}
    options.file.write_text(json.dumps(row))


if __name__ == "__main__":
    main()
