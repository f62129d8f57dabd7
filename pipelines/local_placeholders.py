"""What kfp.local cannot fill in of a graph that a cluster can."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from kfp.local import placeholder_utils

from components._runtime import SCHEDULED


@contextlib.contextmanager
def no_schedule() -> Iterator[None]:
    """On this machine nothing was scheduled: the moment is empty, and the date is always given.

    kfp.local 2.17 knows no moment of a schedule and ends with an IndexError over the place for it.
    """
    resolve = placeholder_utils.resolve_individual_placeholder

    def resolved(element: str, *arguments: Any, **named: Any) -> Any:
        return resolve(element.replace(SCHEDULED, ""), *arguments, **named)

    placeholder_utils.resolve_individual_placeholder = resolved
    try:
        yield
    finally:
        placeholder_utils.resolve_individual_placeholder = resolve
