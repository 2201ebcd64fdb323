"""The servers with which a job signs attestations, as those of sigstore: a CA and a log."""
