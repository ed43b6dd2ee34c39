"""`python -m batch COMMAND` is `serverload COMMAND`; spark-submit runs this file."""

from serverload.cli import main

if __name__ == "__main__":
    main()
