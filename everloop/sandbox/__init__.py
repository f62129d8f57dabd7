"""A candidate voice apart from everything: scenarios, judges, go or no-go."""
