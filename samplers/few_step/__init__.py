"""Methods made for a handful of network calls."""
