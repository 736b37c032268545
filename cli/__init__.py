"""The two programs."""
