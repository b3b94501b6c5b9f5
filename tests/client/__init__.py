"""A client of 2018, written from the contract; it shares no code with the product."""
