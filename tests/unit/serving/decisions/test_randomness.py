"""The operating system's random numbers."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from everloop.serving.decisions.randomness import OperatingSystem


def test_the_operating_systems_numbers_are_uniform_and_cannot_be_seeded() -> None:
    random.seed(1)
    first = [OperatingSystem().random() for _ in range(4)]
    random.seed(1)
    assert first != [OperatingSystem().random() for _ in range(4)]
    source = OperatingSystem()
    drawn = np.array([source.random() for _ in range(5000)])
    assert (drawn >= 0.0).all()
    assert (drawn < 1.0).all()
    assert len(set(drawn.tolist())) == 5000
    # .99999 quantile of Kolmogorov's distribution: 2.47 / sqrt(n)
    distance = np.abs(np.sort(drawn) - np.arange(5000) / 5000).max()
    assert distance < 2.47 / math.sqrt(5000)


def test_threads_share_it_and_never_draw_the_same_number() -> None:
    source = OperatingSystem()
    drawn: list[float] = []

    def draw_many() -> None:
        drawn.extend([source.random() for _ in range(5000)])

    threads = [threading.Thread(target=draw_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == len(drawn) == 20_000


def test_a_forked_process_draws_numbers_of_its_own() -> None:
    script = """
import os
from everloop.serving.decisions.randomness import OperatingSystem
source = OperatingSystem()
source.random()
seen, tell = os.pipe()
child = os.fork()
mine = source.random()
if child == 0:
    os.write(tell, repr(mine).encode())
    os._exit(0)
os.waitpid(child, 0)
assert os.read(seen, 100).decode() != repr(mine)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[4])
