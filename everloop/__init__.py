"""everloop: a daily learning loop for products whose AI decides and speaks for people."""

__version__ = "0.1.0"
