"""The one error that the lab shows to people; everything else is a bug and keeps its traceback."""


class LabError(Exception):
    """A failure that the reader can do something about.

    The message says where it happened, why, and the way out. The command line catches it once,
    prints it without a traceback and exits with 1.
    """
