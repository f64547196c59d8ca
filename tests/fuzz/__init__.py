"""Inputs changed at random: whatever comes of them is a result or one line, never a traceback.

    uv run pytest tests/fuzz                                  # some cases of each, as CI runs them
    FUZZ_CASES=5000 FUZZ_SEED=7 uv run pytest tests/fuzz      # many, from another seed

A failure names its seed; ``FUZZ_CASES=1 FUZZ_SEED=that`` runs it alone.
"""
