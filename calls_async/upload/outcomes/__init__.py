"""What became of each contact."""
