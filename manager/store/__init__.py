"""The desired and observed state: tables of immutable objects, changed by replicated batches of changes."""
