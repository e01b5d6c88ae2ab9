-- What one namespace consists of; @name stands for "schema".namespace_name. All text is ordered by its bytes, as in every store.

CREATE FUNCTION @rank(
    state smallint, opened double precision, ended double precision, keep double precision, finish boolean
) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
-- Opening time of a live session, purge time of an ended one. Not a generated column: each statement would read its
-- expression again, for every row if it does not change.
    SELECT CASE WHEN state = 0 THEN opened WHEN finish THEN 'Infinity' ELSE ended + keep END
$$;

CREATE SEQUENCE @number;  -- versions and fencing tokens are taken from it

-- One row, locked last by whatever writes events, until its commit: so positions become visible in their order.
CREATE TABLE @state (
    epoch    text   NOT NULL,  -- of the log
    first    bigint NOT NULL,  -- the first position that the log has not trimmed
    position bigint NOT NULL,  -- the last position that it gave
    handed   bigint NOT NULL   -- moves when a lease is handed on
) WITH (fillfactor = 10);
INSERT INTO @state VALUES (substr(md5(random()::text || clock_timestamp()::text), 1, 8), 1, 0, 0);

CREATE TABLE @sessions (
    id       text COLLATE "C" PRIMARY KEY,
    kind     text COLLATE "C"  NOT NULL,
    owner    text COLLATE "C",
    node     text COLLATE "C",
    state    smallint          NOT NULL,  -- 0 active, 1 interrupted, 2 expired, 3 closed
    version  bigint            NOT NULL,
    change   text COLLATE "C"  NOT NULL,
    opened   double precision  NOT NULL,
    touched  double precision  NOT NULL,
    "window" double precision  NOT NULL,
    reach    double precision  NOT NULL,
    absolute double precision  NOT NULL,
    due      double precision  NOT NULL,
    ended    double precision  NOT NULL,
    reason   text,
    keep     double precision  NOT NULL,
    finish   boolean           NOT NULL,
    stopped  text,
    data     bytea             NOT NULL,
    -- When the sweeper looks at a live one: `due` as it was when it looked last, for a touch must not move an index.
    timer    double precision  NOT NULL,
    rank     double precision  NOT NULL   -- see the function of that name
) WITH (fillfactor = 50);
ALTER TABLE @sessions ALTER COLUMN data SET STORAGE EXTERNAL;  -- what is encrypted does not shrink
CREATE INDEX @~ranked ON @sessions (kind, state, rank, id);
CREATE INDEX @~owned ON @sessions (owner, kind, state, rank, id) WHERE owner IS NOT NULL;
CREATE INDEX @~placed ON @sessions (node, kind, state, rank, id) WHERE node IS NOT NULL;
CREATE INDEX @~finish ON @sessions (kind, state, rank, id) WHERE finish;
CREATE INDEX @~sweep ON @sessions (kind, timer, id) WHERE state = 0;

CREATE TABLE @items (
    key      text COLLATE "C" PRIMARY KEY,
    data     bytea             NOT NULL,
    version  bigint            NOT NULL,
    changes  text[]            NOT NULL,  -- the last eight
    owner    text COLLATE "C",
    expires  double precision  NOT NULL
);
CREATE INDEX @~items_owned ON @items (owner, key) WHERE owner IS NOT NULL;
CREATE INDEX @~items_expire ON @items (expires, key) WHERE expires < 'Infinity';

CREATE TYPE @waiter AS (ticket text, until double precision, note bytea, displaces boolean);
CREATE TYPE @holder AS (ticket text, token bigint, until double precision, void boolean, notes @waiter[]);
CREATE TABLE @leases (
    name    text COLLATE "C" PRIMARY KEY,
    holders @holder[]          NOT NULL,  -- in the order of their grants
    queue   @waiter[]          NOT NULL,
    until   double precision   NOT NULL   -- when the last of them runs out
);

CREATE TABLE @events (
    position bigint PRIMARY KEY,
    type     text              NOT NULL,
    time     double precision  NOT NULL,
    id       text              NOT NULL,
    kind     text              NOT NULL,
    owner    text COLLATE "C",
    version  bigint            NOT NULL,
    reason   text,
    change   text              NOT NULL,
    node     text              NOT NULL
);
CREATE INDEX @~events_owned ON @events (owner, position) WHERE owner IS NOT NULL;

-- The operations as they arrive, and the lines of their answers: see `batch` and `answers`, which write and read them.
CREATE TYPE @load AS (keys text[], under text, beyond text);
CREATE TYPE @commit AS (
    at double precision, change text, node text, parts integer, limits integer[], lease text, ticket text,
    token bigint, again boolean
);
CREATE TYPE @part AS (
    item boolean, id text, guard smallint, version bigint, session @sessions, fields jsonb, data bytea, event text,
    reason text, owner text, expires double precision
);
CREATE TYPE @ending AS (
    pick smallint, value text, kind text, most integer, before double precision, at double precision, state smallint,
    reason text, due boolean, change text, node text
);
CREATE TYPE @touch AS (id text, at double precision, "window" double precision, before double precision);
CREATE TYPE @ask AS (
    what smallint, lease text, ticket text, at double precision, ttl double precision, permits integer, queue integer,
    note bytea, displace boolean, grace double precision, take boolean, again boolean, node text, token bigint
);
CREATE TYPE @page AS (
    pick smallint, value text, beyond text, kind text, state smallint, most integer, after_kind text,
    after_state smallint, after_rank double precision, after text
);
CREATE TYPE @purging AS (
    before double precision, kind text, count integer, owner text, most integer, trim double precision
);
CREATE TYPE @event AS (
    type text, time double precision, id text, kind text, owner text, version bigint, reason text, change text,
    node text
);
CREATE TYPE @line AS (
    place integer, code smallint, session @sessions, item @items, numbers bigint[], names text[], notes bytea[],
    moment double precision, more boolean, moments double precision[]
);
-- What like operations came to that were done as one statement: the places of those that are done, what is due then, and
-- their events with the places of these; whether an ending is among them that answers do not tell.
CREATE TYPE @several AS (
    done integer[], dues double precision[], places integer[], events @event[], untold boolean
);
-- What an operation came to: its answer, the events that it wrote, and whether it handed a lease on.
CREATE TYPE @outcome AS (line @line, events @event[], handed boolean);
