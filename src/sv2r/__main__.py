"""`python -m sv2r` is the command `sv2r`."""

from sv2r.cli.main import main

if __name__ == "__main__":
    main()
