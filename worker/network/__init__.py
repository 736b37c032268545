"""Network namespaces, bridges, addresses, NAT."""
