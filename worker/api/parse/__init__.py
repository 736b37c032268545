"""What clients ask of containers: the Engine API's JSON into the engine's own values. Pure."""
