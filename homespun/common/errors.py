"""The errors that people read: one clear line each (what is wrong, where, what to do).

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted and resumable.
"""


class HomespunError(Exception):
    """Something failed that the user can understand; the message is one whole line."""

    exit_code = 1


class UsageError(HomespunError):
    """The command was called wrongly: an unknown key, a bad value, a missing source."""

    exit_code = 2


class DamagedFileError(HomespunError):
    """A file of ours is truncated, altered or from an incompatible version."""


class Interrupted(HomespunError):
    """The user or the system asked to stop; everything is saved and the message says how to go on."""

    exit_code = 130
