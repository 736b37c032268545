"""The local half of the Docker Engine API."""
