"""What can be said of a whole library without a question: duplicates, tags, groups, a map."""
