"""Vectors and what they belong to, out of a library into a file (`exporting`) and into one (`importing`)."""
