"""The stand-in actions that are written in Python; each is run by its action.yml."""
