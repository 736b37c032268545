"""The commands for containers: ``swarmctl container …``, and the short names of them that people type."""
