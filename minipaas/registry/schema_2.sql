-- From version 1: restarts and scaling, deaths, the audit by app.

ALTER TABLE app ADD COLUMN serving_tuning TEXT NOT NULL DEFAULT '{}';
ALTER TABLE app ADD COLUMN good_tuning TEXT NOT NULL DEFAULT '{}';

-- A CHECK cannot be altered, so the table is made anew (https://sqlite.org/lang_altertable.html#otheralter).
CREATE TABLE change_2 (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    app         TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('deploy', 'rollback', 'remove', 'restart', 'scale')),
    state       TEXT NOT NULL CHECK (state IN ('rolling', 'confirming', 'reverting', 'removing',
                                               'done', 'failed', 'rolled_back', 'superseded')),
    target      TEXT REFERENCES release (digest),
    fallback    TEXT REFERENCES release (digest),
    actor       TEXT NOT NULL,
    started     REAL NOT NULL,
    deadline    REAL NOT NULL,
    switched    REAL,
    ended       REAL,
    reason      TEXT NOT NULL DEFAULT '',
    hooks_done  TEXT NOT NULL DEFAULT '[]',
    purge       INTEGER NOT NULL DEFAULT 0,
    tuning      TEXT NOT NULL DEFAULT '{}',
    CHECK ((target IS NULL) = (kind = 'remove')),
    CHECK ((ended IS NULL) = (state IN ('rolling', 'confirming', 'reverting', 'removing')))
) STRICT;
INSERT INTO change_2 (id, app, kind, state, target, fallback, actor, started, deadline, switched, ended, reason,
                      hooks_done, purge)
    SELECT id, app, kind, state, target, fallback, actor, started, deadline, switched, ended, reason,
           hooks_done, purge FROM change;
-- Ids of changes that were let go must not come again.
UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'change') WHERE name = 'change_2';
INSERT INTO sqlite_sequence (name, seq)
    SELECT 'change_2', seq FROM sqlite_sequence
    WHERE name = 'change' AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'change_2');
DROP TABLE change;
ALTER TABLE change_2 RENAME TO change;
CREATE UNIQUE INDEX change_active ON change (app) WHERE ended IS NULL;
CREATE INDEX change_history ON change (app, id);
CREATE INDEX change_target ON change (target);
CREATE INDEX change_fallback ON change (fallback);

CREATE INDEX step_upkeep_time ON step (app, started) WHERE change IS NULL;

CREATE TABLE death (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    app        TEXT NOT NULL,
    service    TEXT NOT NULL,
    container  TEXT NOT NULL,
    name       TEXT NOT NULL,
    release    TEXT NOT NULL,
    at         REAL NOT NULL,
    detail     TEXT NOT NULL,
    UNIQUE (container, at)
) STRICT;
CREATE INDEX death_app ON death (app, at);

-- Of the old rows only those that name their app first are told apart.
ALTER TABLE audit ADD COLUMN app TEXT;
UPDATE audit SET app = substr(subject, 1, instr(subject || ' ', ' ') - 1)
    WHERE action IN ('deploy', 'rollback', 'remove') AND subject != 'a bundle';
CREATE INDEX audit_app ON audit (app, at);
