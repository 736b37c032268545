"""Where tasks run: pure decisions on indexed node state."""
