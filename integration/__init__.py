"""Tests with real containers on real (network-namespace) hosts. They need root."""
