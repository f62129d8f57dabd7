"""Figures for the outside: a table of runs, series for dashboards, drift of what a model meets.

One adapter of each port keeps files in the workspace, the other tells Google's services.
"""
