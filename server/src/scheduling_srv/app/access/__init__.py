"""Who may call which method, and what is noted of it (docs/decisions/0033)."""
