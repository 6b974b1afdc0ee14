"""Training of encoders: pure losses, models, and the command `python -m training`."""
