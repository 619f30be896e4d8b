"""Published pipelines of real-world degradations, drawn at random, with their traces."""
