"""Run the command line as ``python -m statlas``."""

import sys

from statlas.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
