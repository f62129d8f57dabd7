"""dpmm, which pins numpy 1.26, in an environment of its own that is made once.

AIM takes minutes. What it made of given people, and the CPU seconds it took, is kept beside the
environment under a checksum of the people, the seed, its version and the program that ran it: a
benchmark of changed code of ours does not run it again. Remove the folder to measure it anew.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.record import ROOT

VERSION = "0.1.9"
ENVIRONMENT = ROOT / ".cache" / f"dpmm-{VERSION}"
PROGRAM = Path(__file__).with_name("dpmm_peer.py")


def interpreter() -> Path | None:
    """Python with dpmm installed, making the environment if needed; ``None`` if that fails."""
    python = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / ".ready"
    if ready.exists():
        return python
    install = [str(python), "-m", "pip", "install", "--quiet", f"dpmm=={VERSION}"]
    for command in ([sys.executable, "-m", "venv", str(ENVIRONMENT)], install):
        done = subprocess.run(command, check=False, stdout=sys.stderr)
        if done.returncode != 0:
            print(f"dpmm {VERSION} could not be installed: not run.", file=sys.stderr)
            return None
    ready.touch()
    return python


def generate(
    python: Path, which: str, codes: NDArray[np.int64], cards: Sequence[int], seed: int
) -> tuple[NDArray[np.int64], float]:
    """((n, v) synthetic codes, CPU seconds) of AIM or MST at epsilon 1, delta 1e-5.

    Raises:
        CalledProcessError: the peer failed.
    """
    kept = kept_at(which, codes, cards, seed)
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
            np.savez(source, codes=codes, cards=np.array(cards), epsilon=1.0, delta=1e-5, seed=seed)
            command = [str(python), str(PROGRAM), which, str(source), str(target)]
            subprocess.run(command, check=True, stdout=sys.stderr)
            kept.parent.mkdir(parents=True, exist_ok=True)
            half = kept.with_suffix(".half")
            shutil.copyfile(target, half)
            half.replace(kept)
    made = np.load(kept)
    return made["codes"], float(made["cpu_s"])


def kept_at(which: str, codes: NDArray[np.int64], cards: Sequence[int], seed: int) -> Path:
    """Where a result lies, by everything that decides it."""
    told = hashlib.sha256(f"{VERSION}/{which}/{tuple(cards)}/{seed}/{codes.shape}".encode())
    told.update(np.ascontiguousarray(codes).tobytes())
    told.update(PROGRAM.read_bytes())
    return ENVIRONMENT / "results" / f"{which}-{told.hexdigest()[:24]}.npz"
