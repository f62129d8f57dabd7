"""The steps of the graphs: one typed Kubeflow component a file, each a few lines over domain code.

``_artifacts`` holds one artifact type per contract, ``_runtime`` wraps kfp's decorators, ``_stage``
gives every step its page, metrics and one-line summary.
"""

from components._clock import CLOCK

__all__ = ["CLOCK"]
