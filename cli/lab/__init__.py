"""Many hosts on one machine, to try a cluster with and to break it: ``swarmctl lab``, and what tests stand on."""
