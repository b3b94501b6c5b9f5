"""Health: the observed state of the service, and the configuration of its servers."""
