"""Takes assignments, brings each task from state to state, reports."""
