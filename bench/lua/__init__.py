"""The scripts of the hot paths alone, and the two scripts of the bare loop beside this file."""
