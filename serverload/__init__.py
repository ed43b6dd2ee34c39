"""serverload: live workload forecasting for fleets of servers."""

__version__ = "0.1.0"
