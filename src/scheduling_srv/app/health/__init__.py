"""Health: what is observed, and how the servers are set up."""
