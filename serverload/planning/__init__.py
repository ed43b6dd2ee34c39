"""What to do about the load that is forecast: pure arithmetic on arrays, without Spark; see docs/adr/0017-advice.md."""
