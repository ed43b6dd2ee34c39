"""The addresses of the service, a module a topic; each has a `router` that `serving.app` takes in."""
