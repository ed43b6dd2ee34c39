"""The only I/O of the domain: Spark session, Delta tables, model registry, broker."""
