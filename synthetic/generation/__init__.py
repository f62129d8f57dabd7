"""Synthetic people in any number: ``chunks`` makes them, each again at will; ``files`` exports them."""
