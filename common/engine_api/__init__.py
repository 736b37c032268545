"""What both halves of the Docker Engine API share."""
