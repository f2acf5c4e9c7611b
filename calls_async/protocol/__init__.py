"""The Calls API itself, pure: no I/O, no clock, no asyncio."""
