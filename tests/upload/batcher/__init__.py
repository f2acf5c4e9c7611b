"""Batcher."""
