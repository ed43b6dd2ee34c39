"""All that knows the history: backfill and training."""
