"""What can go wrong."""


class QuiverError(Exception):
    """A call could not be carried out; the message says which, and why."""


class NativeLibraryError(QuiverError, ImportError):
    """The native libraries cannot be loaded; the message names the file and what is wrong."""
