"""Methods that alternate a data step and a denoiser."""
