"""minipaas as a guest of this host: versioned directories, service units, and what is checked before and after.

Nothing here runs apps or knows what a release of an app is; the rest of the program only learns from `layout.Layout`
which version of itself is current."""
