"""A conversion: config, prompts, seeds, plan, worker, journal, run."""
