"""CPU seconds, steps and memory that PPO takes to learn one problem: ours, and what people use today.

Every system trains the same network by the same settings on the same journeys, one process and one thread
each, in rounds that go through all systems; each round is a seed, and starts with another system. CPU
seconds are of training alone: imports, set-up and the evaluation of policies between updates are not
timed; imports are reported apart, and peak memory is that of the whole process.

Goals compare with stable-baselines3 at its better: the faster of its plain and its masked PPO, and the
one that needs fewer steps; the ratio to the masked one, which plays the same problem, stands beside
them. A training that was measured before is kept as long as the code of this
benchmark and of our trainer is the same; ``--fresh`` measures all anew.
"""

from __future__ import annotations

import argparse
import importlib.metadata

from bench.ppo.rounds import Rounds, goals, table
from bench.private.rows import Rows, source_sha256
from bench.record import ROOT, record

FOLDER = ROOT / ".cache" / "bench-ppo"
SEEDS = 5
PACKAGES = ("torch", "numpy", "ray", "stable_baselines3", "sb3_contrib", "gymnasium")


def main() -> None:
    """Run and print; the last line is the record."""
    parser = argparse.ArgumentParser(prog="python -m bench.ppo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke size, which measures no goal")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="rounds, each of a seed of its own"
    )
    parser.add_argument("--fresh", action="store_true", help="measure every training anew")
    options = parser.parse_args()
    source = source_sha256("bench/ppo", "rl")
    rows = Rows(FOLDER, source, fresh=options.fresh or options.quick)
    rounds = Rounds(rows, {name: importlib.metadata.version(name) for name in PACKAGES})
    seeds = range(options.seed, options.seed + (1 if options.quick else options.seeds))
    measured = [rounds.play(number, seed, options.quick) for number, seed in enumerate(seeds)]
    print(table(measured))
    print(
        record(
            "ppo",
            options.seed,
            [
                {"system": name, "seed": seed, **{k: v for k, v in row.items() if k != "curve"}}
                for seed, of_round in zip(seeds, measured, strict=True)
                for name, row in of_round.items()
            ],
            [] if options.quick else goals(measured),
        )
    )


if __name__ == "__main__":
    main()
