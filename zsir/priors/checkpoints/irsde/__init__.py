"""IR-SDE and Refusion networks."""
