"""minipaas: a small platform for one edge server: signed bundles in, running, routed and visible apps out."""
