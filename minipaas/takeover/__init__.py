"""One life after the other: listening sockets from a service manager or a predecessor, the hand-over from one process
of minipaas to the next, its upgrade and the way back."""
