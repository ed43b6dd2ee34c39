"""The settings profiles that ship with serverload (TOML files)."""
