"""Variants of personas and prompts on trial: who meets which, and what their feedback says.

The same assignment and the same anytime-valid line as trials of models have.
"""
