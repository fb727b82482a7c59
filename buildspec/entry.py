"""Where the built program begins."""

from minipaas import program

program.begin()

from minipaas.__main__ import main  # noqa: E402 - whatever it imports finds a clean environment

if __name__ == "__main__":
    main()
