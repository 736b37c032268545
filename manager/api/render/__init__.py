"""The model to Docker's JSON, one noun per file."""
