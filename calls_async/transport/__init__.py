"""One exchange over HTTP, and what its failures mean."""
