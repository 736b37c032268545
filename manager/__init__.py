"""The deciding half of a node: keeps the desired state and works out what should run where."""
