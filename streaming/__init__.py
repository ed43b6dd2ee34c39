"""All that knows a live stream: source, checkpoint, micro-batches."""
