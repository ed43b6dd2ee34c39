"""What users rely on, in plain Python: tables, settings, classes, reasons, errors. No Spark."""
