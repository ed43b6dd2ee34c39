"""Ask by HTTP: forecasts, servers, scoring, models, quality; knows no Spark and starts no Java."""
