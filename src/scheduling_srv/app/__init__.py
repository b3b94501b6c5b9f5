"""What the product does, in terms of ports."""
