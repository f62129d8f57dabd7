"""The HTTP service: events in, decisions out."""
