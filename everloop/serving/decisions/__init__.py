"""What to do now, and with what probability: models, exploration and what stands in for them."""
