"""Nearest neighbours: which of a library's vectors are most like a question's, exactly or nearly, at once.

`index` is what a library asks; `exact` and `inverted` are the two kinds in FAISS, which `tuning` chooses between, and
`light` answers the first question from what was `saved` of either before FAISS is imported.
"""
