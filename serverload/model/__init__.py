"""The forest, its baselines and its scores, as Spark ML; knows no registry and no table."""
