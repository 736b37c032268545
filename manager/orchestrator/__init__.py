"""Which tasks should exist: pure decisions on one service at a time."""
