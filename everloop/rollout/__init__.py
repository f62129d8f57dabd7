"""Trials of candidates on people: who is in one, and how one starts."""
