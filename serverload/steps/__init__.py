"""Pure steps: one arrow of the flow a file; they see only their arguments."""
