"""``make bench-private``: what privacy costs and what people made by it are worth."""
