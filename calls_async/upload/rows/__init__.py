"""A row of a list becomes the bytes of a contact."""
