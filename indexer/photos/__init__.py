"""Photos: opened from untrusted files, decoded, made ready for a model, and what is known of them."""
