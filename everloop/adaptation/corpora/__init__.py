"""Public corpora as streams of training instances, each row with its source and licence."""

from everloop.adaptation.corpora.streaming import stream

__all__ = ["stream"]
