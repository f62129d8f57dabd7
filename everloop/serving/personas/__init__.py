"""Personas in the service: moved by feedback as it is stored, shown, undone."""
