"""What `import serverload` offers, a module a topic; `serverload/__init__.py` names it."""
