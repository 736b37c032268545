"""One loop for all loops: look, decide, propose, wait."""
