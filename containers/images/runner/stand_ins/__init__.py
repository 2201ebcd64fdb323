"""Stand-in actions in Python. Their action.yml starts them."""
