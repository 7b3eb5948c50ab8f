"""Waiting for an event, never for a time."""
import time


class TooLate(AssertionError):
    """What was waited for did not come."""


def until(condition, what, seconds=20.0, pause=0.01):
    """Returns the first truthy value of `condition()`; fails after `seconds`, saying `what` was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TooLate(f"{what} did not come within {seconds} s")
        time.sleep(pause)
