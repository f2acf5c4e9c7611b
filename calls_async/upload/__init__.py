"""The way of a contact: from its source into a chunk, to the server, and back as an outcome."""
