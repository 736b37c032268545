"""The daemon: composes manager and worker."""
