"""Bug reports: what a user writes, the machine that is most similar, and the answer."""
