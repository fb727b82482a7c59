"""What this box has accepted and decided: SQLite with one writer, the blob store, journal and audit."""
