"""The words that manager, worker and command line share."""
