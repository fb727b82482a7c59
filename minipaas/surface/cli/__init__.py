"""The command line: an ordinary client of the API, except for `serve` and the author's commands."""
