-- The registry of a box: what it has accepted, what it is asked to be, and the record of what it did.
--
-- One file, SQLite in WAL mode with synchronous=FULL: what a caller was told is done survives a power cut.
-- One thread writes, in short transactions; readers see the last commit and never wait.
-- This file is the whole schema of the newest version. A fresh registry is made from it; an older one is led
-- here by the numbered migrations in schema.py. PRAGMA user_version is the number; a newer one is refused.
-- Times are Unix seconds (REAL). Digests are text, 'sha256:<hex>'. Struct bodies are canonical JSON.


-- Facts about the box itself, one a row.
--   box_id       made once; containers are labelled with it
--   time_floor   the newest `issued` of an accepted release: the time cannot be earlier
--   version      grows with every commit that a reader could notice
CREATE TABLE box (
    key    TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;


-- The chain of trust roots (TUF root.json), as the owner gave it and as bundles carried it on.
-- Only ever appended: version N+1 after N; a different body for a known version is a fork, and refused.
CREATE TABLE root (
    version  INTEGER PRIMARY KEY,
    body     BLOB NOT NULL,
    added    REAL NOT NULL
) STRICT;


-- The lowest an app may still go to. Never lowered, also not when the app is removed.
CREATE TABLE floor (
    app           TEXT PRIMARY KEY,
    epoch         INTEGER NOT NULL,   -- of the newest accepted release
    sequence      INTEGER NOT NULL,   -- of the newest accepted release
    min_sequence  INTEGER NOT NULL,   -- the highest minSequence seen in this epoch: no rollback below it
    newest        TEXT NOT NULL REFERENCES release (digest)
) STRICT, WITHOUT ROWID;


-- Releases: bundles that were verified and accepted. The digest of the bundle manifest is the identity.
CREATE TABLE release (
    digest     TEXT PRIMARY KEY,
    app        TEXT NOT NULL,
    version    TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    body       TEXT NOT NULL,         -- model.release.Release
    accepted   REAL NOT NULL,
    confirmed  REAL,                  -- when it first proved itself (became an app's `good`); NULL: never
    outcome    TEXT,                  -- state of the last change that wanted it
    retired    REAL,                  -- when garbage collection gave its blobs up; NULL: still complete on this box
    UNIQUE (app, epoch, sequence)
) STRICT, WITHOUT ROWID;


-- Apps this box should run. A row lives from the first accepted release until a removal has finished.
CREATE TABLE app (
    name     TEXT PRIMARY KEY,
    serving  TEXT REFERENCES release (digest),   -- what the routes were last switched to
    good     TEXT REFERENCES release (digest)    -- the last confirmed: the way back
) STRICT, WITHOUT ROWID;


-- Changes: requests for a different desired state, and how they ended. Ids are never used again, because
-- hook containers carry them in their names.
CREATE TABLE change (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    app         TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('deploy', 'rollback', 'remove')),
    state       TEXT NOT NULL CHECK (state IN ('rolling', 'confirming', 'reverting', 'removing',
                                               'done', 'failed', 'rolled_back', 'superseded')),
    target      TEXT REFERENCES release (digest),  -- NULL for remove
    fallback    TEXT REFERENCES release (digest),  -- the app's `good` when it began
    actor       TEXT NOT NULL,
    started     REAL NOT NULL,
    deadline    REAL NOT NULL,
    switched    REAL,
    ended       REAL,
    reason      TEXT NOT NULL DEFAULT '',
    hooks_done  TEXT NOT NULL DEFAULT '[]',        -- JSON: services whose release hook has succeeded
    purge       INTEGER NOT NULL DEFAULT 0,
    CHECK ((target IS NULL) = (kind = 'remove')),
    CHECK ((ended IS NULL) = (state IN ('rolling', 'confirming', 'reverting', 'removing')))
) STRICT;

-- An app has at most one change under way: a new one supersedes it in the same transaction.
CREATE UNIQUE INDEX change_active ON change (app) WHERE ended IS NULL;
CREATE INDEX change_history ON change (app, id);
CREATE INDEX change_target ON change (target);
CREATE INDEX change_fallback ON change (fallback);


-- The journal: one row for each step done to the outside world. A record, never a queue: after a crash, rows
-- without an end are closed as interrupted, and the box looks and plans again.
CREATE TABLE step (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    change   INTEGER REFERENCES change (id) ON DELETE CASCADE,   -- NULL: upkeep, outside any change
    app      TEXT NOT NULL,
    kind     TEXT NOT NULL,           -- name of the step's type in model.steps
    title    TEXT NOT NULL,           -- what a person reads
    started  REAL NOT NULL,
    ended    REAL,
    ok       INTEGER,
    detail   TEXT NOT NULL DEFAULT '',
    CHECK ((ended IS NULL) = (ok IS NULL))
) STRICT;

CREATE INDEX step_change ON step (change, id);
CREATE INDEX step_app ON step (app, id);
CREATE INDEX step_upkeep ON step (app, id) WHERE change IS NULL;
CREATE INDEX step_open ON step (id) WHERE ended IS NULL;


-- What the box remembers of a container, because Podman cannot know it.
CREATE TABLE note (
    container  TEXT PRIMARY KEY,
    boot       TEXT NOT NULL DEFAULT '',   -- the kernel's boot id when minipaas last started it
    stopped    TEXT NOT NULL DEFAULT ''    -- why minipaas stopped it; empty: nobody did
) STRICT, WITHOUT ROWID;


-- Who may act over TCP. The secret is shown once; only its SHA-256 is here.
CREATE TABLE token (
    name     TEXT PRIMARY KEY,
    role     TEXT NOT NULL,
    hash     BLOB NOT NULL UNIQUE,
    created  REAL NOT NULL
) STRICT, WITHOUT ROWID;


-- Every mutation and every refusal: who, what, when, from where, with what result. Appended in the transaction
-- of the mutation itself; only the oldest rows leave.
CREATE TABLE audit (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       REAL NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    origin   TEXT NOT NULL,
    result   TEXT NOT NULL
) STRICT;
