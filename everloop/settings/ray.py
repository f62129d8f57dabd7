"""Ray: which cluster trains, and its token."""

from __future__ import annotations

import os
from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey

RAY_AUTH_MODE = "RAY_AUTH_MODE"
RAY_AUTH_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 — a name
RAY_AUTH_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 — a name


def check_ray_token() -> None:
    """See that the token which the environment promises to Ray is there, before Ray looks for it.

    Raises:
        ShouldFixArgument: ``RAY_AUTH_MODE`` is neither ``token`` nor ``disabled``.
        ShouldProvideKey: it is ``token``, and the file named for the token can't be read or is empty.
    """
    mode = os.environ.get(RAY_AUTH_MODE, "")
    if mode.lower() not in {"", "token", "disabled"}:
        raise ShouldFixArgument(
            f"{RAY_AUTH_MODE}={mode!r} is no mode of Ray's.", "Set it to token or to disabled."
        )
    named = os.environ.get(RAY_AUTH_TOKEN_PATH, "")
    if mode.lower() != "token" or os.environ.get(RAY_AUTH_TOKEN) or not named:
        return
    try:
        token = Path(named).read_text().strip()
    except OSError as problem:
        raise ShouldProvideKey(
            f"{RAY_AUTH_TOKEN_PATH} names {named}, which cannot be read ({problem.strerror}).",
            "Copy the cluster's token there, or name the file that holds it.",
        ) from None
    if not token:
        raise ShouldProvideKey(
            f"{RAY_AUTH_TOKEN_PATH} names {named}, which is empty.",
            "Copy the cluster's token there.",
        )
