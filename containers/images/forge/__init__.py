"""The forge: the part of GitHub that a release workflow uses, on GitHub's own host names."""
