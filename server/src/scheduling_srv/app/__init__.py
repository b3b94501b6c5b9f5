"""The use cases of the service, in terms of ports."""
