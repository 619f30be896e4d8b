"""Methods that are told nothing of the degradation, or only a part of it."""
