"""What people may read about the loop: explanations of decisions, and model cards."""
