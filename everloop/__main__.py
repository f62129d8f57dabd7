"""``python -m everloop``: the command line of this interpreter's installation."""

from everloop.cli import main

if __name__ == "__main__":
    main()
