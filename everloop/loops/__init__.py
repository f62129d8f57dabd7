"""Loop specifications as files: the loader and the two that ship.

``load(name_or_path)`` returns a validated ``LoopSpec``; every refusal names the file, the line and
the fix.
"""

from everloop.loops.loader import SHIPPED, load, shipped_path

__all__ = ["SHIPPED", "load", "shipped_path"]
