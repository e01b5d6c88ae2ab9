-- The tables of one namespace; $ stands for its name. They are rowid tables because new rows then go to the end:
-- `WITHOUT ROWID` puts each at a place of its own, and halves the speed of an open.

-- One row: what almost every transaction reads and writes.
CREATE TABLE state_$ (
    epoch    TEXT    NOT NULL,  -- of the log
    number   INTEGER NOT NULL,  -- the counter that versions and fencing tokens are taken from
    first    INTEGER NOT NULL,  -- the first position that the log has not trimmed
    position INTEGER NOT NULL,  -- the last position that it gave
    handed   INTEGER NOT NULL,  -- moves when a lease is handed on
    counts   TEXT    NOT NULL,  -- how many sessions of each kind are in each state, as JSON
    mark     TEXT               -- how the store stands, if it is not open, as JSON
);

CREATE TABLE sessions_$ (
    number   INTEGER PRIMARY KEY,  -- its first version, which no other has
    id       TEXT    NOT NULL UNIQUE,
    kind     TEXT    NOT NULL,
    owner    TEXT,
    node     TEXT,
    state    INTEGER NOT NULL,     -- 0 active, 1 interrupted, 2 expired, 3 closed
    version  INTEGER NOT NULL,
    change   TEXT    NOT NULL,
    opened   REAL    NOT NULL,
    touched  REAL    NOT NULL,
    "window" REAL    NOT NULL,
    reach    REAL    NOT NULL,
    absolute REAL    NOT NULL,
    due      REAL    NOT NULL,
    ended    REAL    NOT NULL,
    reason   TEXT,
    keep     REAL    NOT NULL,
    finish   INTEGER NOT NULL,
    stopped  TEXT,
    rank     REAL    NOT NULL,     -- opening time of a live one, purge time of an ended one
    look     REAL,                 -- when to look whether it is due, never later than that; NULL: it has ended
    data     BLOB                  -- NULL: too big to be written again with every touch, see bulk
);
CREATE INDEX ranked_$ ON sessions_$ (kind, state, rank, id);
CREATE INDEX owned_$ ON sessions_$ (owner, kind, state, rank, id) WHERE owner IS NOT NULL;
CREATE INDEX placed_$ ON sessions_$ (node, kind, state, rank, id) WHERE node IS NOT NULL;
-- Not the exact due time, so that a touch writes one page and no index: who sweeps brings it up to date.
CREATE INDEX sweep_$ ON sessions_$ (kind, look, id) WHERE look IS NOT NULL;
CREATE INDEX finish_$ ON sessions_$ (kind, state, rank, id) WHERE finish = 1;

CREATE TABLE bulk_$ (
    number INTEGER PRIMARY KEY,
    data   BLOB NOT NULL
);

CREATE TABLE items_$ (
    number  INTEGER PRIMARY KEY,   -- its first version
    key     TEXT    NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    changes TEXT    NOT NULL,      -- JSON
    owner   TEXT,
    expires REAL    NOT NULL,
    data    BLOB    NOT NULL
);
CREATE INDEX items_owned_$ ON items_$ (owner, key) WHERE owner IS NOT NULL;
CREATE INDEX items_expire_$ ON items_$ (expires, key) WHERE expires < 9e999;

CREATE TABLE leases_$ (
    name  TEXT NOT NULL UNIQUE,
    body  BLOB NOT NULL,           -- holders and queue, as MessagePack
    until REAL NOT NULL            -- when the last of them runs out
);

CREATE TABLE events_$ (
    position INTEGER PRIMARY KEY,
    type     TEXT    NOT NULL,
    time     REAL    NOT NULL,
    id       TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    owner    TEXT,
    version  INTEGER NOT NULL,
    reason   TEXT,
    change   TEXT    NOT NULL,
    node     TEXT    NOT NULL
);
