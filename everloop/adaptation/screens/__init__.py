"""What is kept out of training data: personal data, abuse, and languages that a voice does not speak."""
