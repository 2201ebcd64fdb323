"""The forge: what the jobs of a release workflow see of GitHub, on its own host names."""
