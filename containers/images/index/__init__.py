"""The package index: pypiserver behind a TLS front that adds what a real index has."""
