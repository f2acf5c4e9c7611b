"""The tasks of one upload: from sealed chunks to receipts."""
