"""The admin pages: HTML over the methods of scheduling.v1, in process (docs/decisions/0034)."""
