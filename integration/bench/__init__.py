"""Benchmarks: ``python -m integration.bench [NAME…] [--json FILE]``, or ``./test.sh bench``."""
