"""The words of minipaas as frozen data: specs, releases, what is observed, steps, errors. No I/O."""
