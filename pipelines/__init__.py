"""Graphs only: which step follows which, compiled to one YAML file that runs everywhere."""
