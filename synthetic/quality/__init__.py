"""Synthetic quality: are synthetic people and their answers close enough to learn a policy from?

``check`` asks the questions inside the trust boundary.
"""

from synthetic.quality.check import check_quality

__all__ = ["check_quality"]
