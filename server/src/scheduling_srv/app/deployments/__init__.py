"""Deployments: which services are replicas of this one."""
