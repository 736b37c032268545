"""What services and tasks get from the network: pure decisions."""
