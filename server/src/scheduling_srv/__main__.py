"""`python -m scheduling_srv` is the command `scheduling-srv`."""

import sys

from scheduling_srv.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
