"""What each command does. Their docstrings are their help."""
