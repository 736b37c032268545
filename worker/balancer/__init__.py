"""Published ports: spread over the tasks that can answer."""
