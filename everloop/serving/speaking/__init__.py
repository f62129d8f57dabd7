"""Answers of a product's voice: what is deployed, one base for both arms, micro-batches, a last screen."""
