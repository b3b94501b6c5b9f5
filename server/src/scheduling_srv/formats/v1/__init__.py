"""The messages of scheduling.v1: requests are decoded, answers are encoded."""
