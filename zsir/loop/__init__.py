"""The one solver loop and what it works on."""
