"""`python -m calls_async` is the command `calls-async`."""

from calls_async.cli.main import main

if __name__ == "__main__":
    main()
