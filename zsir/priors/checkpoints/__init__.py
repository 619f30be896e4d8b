"""Published networks read from their files."""
