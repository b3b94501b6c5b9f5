"""The command `scheduling`: the extra `cli` of this package has its dependencies."""
