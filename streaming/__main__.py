"""`python -m streaming` is `serverload stream`; spark-submit runs this file."""

import sys

from serverload.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "stream")
    main()
