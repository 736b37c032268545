"""swarmctl's commands, one file per noun."""
