"""Single contacts from many tasks."""
