"""Priors around priors."""
