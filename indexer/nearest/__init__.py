"""Nearest neighbours: which of a library's vectors are most like a question's, exactly or nearly, at once.

`index` is what a library asks, and `cache` keeps it up to date: `exact` in numpy by the stored vectors, or an inverted
file if `tuning` chose one, in numpy for a first question (`mapped`) and then in FAISS (`ivf`).
"""
