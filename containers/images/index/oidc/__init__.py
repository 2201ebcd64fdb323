"""Trusted publishing: identity tokens of a known issuer, exchanged for upload tokens."""
