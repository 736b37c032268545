"""The local engine: containers, from images, volumes, networks and processes."""
