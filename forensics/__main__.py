"""`python -m forensics`: the command line, where the console script is not on the path."""

from forensics.cli import main

if __name__ == "__main__":
    main()
