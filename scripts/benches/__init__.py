"""The figures that `scripts/bench` takes, one noun a module."""
