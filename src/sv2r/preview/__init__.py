"""Some pictures of a dataset under several settings, side by side, before a job is run."""
