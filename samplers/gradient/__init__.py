"""Methods that differentiate through the network."""
