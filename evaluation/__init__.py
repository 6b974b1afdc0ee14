"""Measures of encoders: pure metrics, readers of data sets, and the command `python -m evaluation`."""
