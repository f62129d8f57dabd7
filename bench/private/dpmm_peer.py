"""Runs dpmm's AIM or MST; executed by the interpreter of an environment of its own.

    python dpmm_peer.py aim|mst INPUT.npz OUTPUT.npz

INPUT holds ``codes`` (n, v), ``cards`` (v,), ``epsilon``, ``delta``, ``seed``; OUTPUT gets ``codes`` and
``cpu_s``, user and system seconds of fitting and generating alone.
"""

from __future__ import annotations

import importlib
import resource
import sys

import numpy as np


def cpu_seconds() -> float:
    """User and system seconds of this process and those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main(which: str, source: str, target: str) -> None:
    pandas = importlib.import_module("pandas")
    pipelines = importlib.import_module("dpmm.pipelines")
    given = np.load(source)
    codes, cards = given["codes"], given["cards"]
    names = [f"trait_{i}" for i in range(codes.shape[1])]
    frame = pandas.DataFrame(dict(zip(names, codes.T, strict=True)))
    domain = {name: int(card) for name, card in zip(names, cards, strict=True)}
    started = cpu_seconds()
    pipeline = {"aim": pipelines.AIMPipeline, "mst": pipelines.MSTPipeline}[which](
        epsilon=float(given["epsilon"]),
        delta=float(given["delta"]),
        max_model_size=80,
        n_jobs=1,
        disable_processing=True,
    )
    pipeline.fit(frame, domain=domain, random_state=int(given["seed"]))
    made = pipeline.generate(n_records=len(codes), random_state=int(given["seed"]))
    spent = cpu_seconds() - started
    np.savez(target, codes=made[names].to_numpy().astype(np.int64), cpu_s=spent)


if __name__ == "__main__":
    main(*sys.argv[1:4])
