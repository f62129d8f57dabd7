"""Backups of a workspace: made, listed, verified, restored and pruned."""
