"""``python -m recfleet``."""

from recfleet.cli import main

if __name__ == "__main__":
    main()
