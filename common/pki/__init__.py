"""Who is who in a cluster: its root, the certificates of its nodes, the tokens to join by."""
