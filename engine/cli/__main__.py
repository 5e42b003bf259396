import os
import sys

# python -m puts the working folder first: a numpy.py beside a study is not for import, unless the engine itself is there.
if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    if root != os.path.realpath(os.getcwd()):
        del sys.path[0]

from engine.cli import main

if __name__ == "__main__":  # workers of a local cluster import this file again
    main()
