"""Rows become chunks, with their places and keys."""
