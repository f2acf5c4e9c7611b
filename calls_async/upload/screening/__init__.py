"""Rows that are taken out before anything is sent."""
