"""Settings: their model, their types, and how they are loaded."""
