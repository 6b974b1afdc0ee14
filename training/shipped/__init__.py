"""How the encoder in data/models/embedded was made: its stages, its data, its recipe."""
