"""Calls about many call jobs: reports and cancels of any number."""
