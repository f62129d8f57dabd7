"""Whom the audit log names when a command changes something."""

from __future__ import annotations

import os
import pwd


def operator() -> str:
    """``cli:<account>`` of the account that runs the command, ``cli:<number>`` where it has no name."""
    number = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"cli:{number}"
