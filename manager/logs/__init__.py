"""Brings log lines from nodes to readers."""
