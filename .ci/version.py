"""Ends with a message if the lock does not serve the Python that runs this; says so if that version was not tried."""

import sys

TRIED = ((3, 11), (3, 12), (3, 13))


def told(version):
    """What is to be said of a version (major, minor), and whether the set-up ends with it."""
    name, tried = ".".join(map(str, version)), ", ".join(".".join(map(str, one)) for one in TRIED)
    if version < TRIED[0]:
        return (
            f"Python {name} is too old: the lock serves {tried}. Name another one: make setup PYTHON=python3.12",
            True,
        )
    return (
        (f"Python {name} was not tried: the tests were run with {tried}", False)
        if version not in TRIED
        else ("", False)
    )


if __name__ == "__main__":
    message, ends = told(sys.version_info[:2])
    if message:
        sys.stderr.write(message + "\n")
    sys.exit(int(ends))
