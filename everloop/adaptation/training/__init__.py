"""How a voice's adapter is trained: supervised phases, preferences, publication."""
