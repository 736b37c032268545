"""The doing half of a node: runs what the managers assign."""
