"""`python -m serverload` is the `serverload` command."""

from serverload.cli import main

if __name__ == "__main__":
    main()
