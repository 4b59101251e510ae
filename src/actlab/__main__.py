"""Run the command line as `python -m actlab`, for when the `actlab` script is not on the path."""

from actlab.cli import main

if __name__ == "__main__":
    main()
