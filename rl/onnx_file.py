"""ONNX files as they are opened to serve: checked before they are parsed, one core a call."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnxruntime as ort

from everloop.contracts.errors import ShouldRestoreArtefact


def read_verified(path: Path, sha256: str | None, remedy: str) -> bytes:
    """The file's bytes, which are those that were checked; ``sha256`` None: nothing is known of them.

    Raises:
        ShouldRestoreArtefact: the file is missing or another one; ``remedy`` says what to do.
    """
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise ShouldRestoreArtefact(
            f"{path} cannot be read ({problem.strerror}).", remedy
        ) from problem
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise ShouldRestoreArtefact(f"{path} has checksum {found}, not {sha256}.", remedy)
    return data


def session_of(data: bytes, name: str, remedy: str) -> ort.InferenceSession:
    """A session on one core.

    Raises:
        ShouldRestoreArtefact: the bytes are no ONNX model; ``name`` says whose, ``remedy`` what to do.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime's errors share no base class of their own
        raise ShouldRestoreArtefact(
            f"{name} is no ONNX model ({problem!s:.200}).", remedy
        ) from problem
