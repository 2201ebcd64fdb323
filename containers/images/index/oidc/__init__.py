"""Trusted publishing: the exchange of identity tokens of a trusted issuer for upload tokens."""
