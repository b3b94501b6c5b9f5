"""Workers beside web applications, and in other languages."""
