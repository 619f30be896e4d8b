"""From an observation to a finished result: what the command and `zsir.restore` share."""
