"""Reaches the engine of any node from any manager."""
