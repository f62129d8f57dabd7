"""From what people said to a voice that learned it: strategy, data, curriculum, preferences."""
