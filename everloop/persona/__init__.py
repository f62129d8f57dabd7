"""The persona graph: traits, exemplars and memory, and the prompt that they become."""
