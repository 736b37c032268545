"""The cluster's half of the Docker Engine API."""
