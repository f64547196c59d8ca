"""What the benchmarks share: tables, scenes, damage, models, measures."""
