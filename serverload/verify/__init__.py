"""Do the tables say what their sources say? Each check recounts one thing and names what differs."""
