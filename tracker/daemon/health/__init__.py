"""How the daemon is, for people, probes and Prometheus."""
