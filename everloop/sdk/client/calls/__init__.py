"""One function per route: its request, typed."""
