"""The files of containers: read, written, told, by a helper that no link of theirs leads astray (README.md)."""
