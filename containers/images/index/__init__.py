"""The package index: pypiserver behind a TLS front with the functions of the default index."""
