"""What writes events: the synthetic history and the replay of CSV files. No Spark."""
