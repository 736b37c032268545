"""Thin, typed access to the kernel; no policy."""
