"""The HTTP service under load: sustained rates, latencies, CPU per request."""
