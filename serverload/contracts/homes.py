"""What the names of a home and of a profile tell before any setting is read: all commands ask it, it loads nothing."""

DEFAULT_PROFILE = "local"


def is_local(home: str) -> bool:
    """Tell whether a home is a local folder."""
    return "://" not in home and not home.startswith("hdfs:")
