"""The conditions that a node must meet to take a task: one module each."""
