"""Processes in namespaces and cgroups: the supervisor and its client."""
