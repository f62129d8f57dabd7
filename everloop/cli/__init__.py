"""The command line: ``everloop --help``."""

from everloop.cli.app import main

__all__ = ["main"]
