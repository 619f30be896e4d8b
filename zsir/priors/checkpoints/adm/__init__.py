"""ADM (guided-diffusion) networks and consistency models."""
