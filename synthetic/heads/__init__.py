"""The specification's pairing and emotion models: heads of the released user model as files of their own.

``bilinear`` takes the public features apart, ``graph`` and ``export`` write ONNX that is checked against
the user model, ``figures`` say on held-out people how good they are.
"""

from synthetic.heads.export import ExportedHead, ExportedHeads, export_heads
from synthetic.heads.figures import head_figures

__all__ = ["ExportedHead", "ExportedHeads", "export_heads", "head_figures"]
