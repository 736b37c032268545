"""Lets nodes into the cluster: gives a certificate to whoever shows a join token."""
