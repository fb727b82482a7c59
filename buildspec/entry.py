"""Where the built binary begins."""

from minipaas.__main__ import main

if __name__ == "__main__":
    main()
