"""Code that the server programs share: TLS server, start and end, configuration, routes, log."""
