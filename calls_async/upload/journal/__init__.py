"""What was intended and what was answered, written down."""
