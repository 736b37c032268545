"""A replicated, durable log of bytes, on PySyncObj."""
