"""What this box has accepted and decided: SQLite with one writer, the blob store, journal and audit.

`registry.Registry` is the only way in for decisions, `blobs.BlobStore` for content. Below them each module has one
noun; their functions take the connection of a transaction that the facade has begun."""
