-- The one call of a batch: it takes its locks in one order, applies operation after operation, and writes the log last.

CREATE FUNCTION @log(events @event[], handed_on boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
-- From here to the commit nobody else gives out positions, so that they become visible in their order. The last of them.
DECLARE
    last bigint;
BEGIN
    UPDATE @state AS s
    SET position = s.position + cardinality(events), handed = s.handed + handed_on::integer
    RETURNING s.position INTO last;
    INSERT INTO @events
    SELECT last - cardinality(events) + e.n, e.type, e.time, e.id, e.kind, e.owner, e.version, e.reason, e.change, e.node
    FROM unnest(events) WITH ORDINALITY AS e(type, time, id, kind, owner, version, reason, change, node, n);
    RETURN last;
END $$;

CREATE FUNCTION @told(
    space bigint, events text[], last bigint, number bigint, untold boolean, handed boolean
) RETURNS @line
LANGUAGE plpgsql AS $$
-- What a call has to tell: types of events, and whether a lease was handed on; numbers: whether somebody waits for more
-- than endings, whether more than one listens (both hold locks, see `listening`), the last position before and now, and
-- whether it wrote endings that its answers do not tell.
DECLARE
    line @line;
BEGIN
    line.place := 0;
    line.code := 14;
    line.names := events;
    line.numbers := ARRAY[
        (NOT pg_try_advisory_xact_lock(space + 1))::integer, (NOT pg_try_advisory_xact_lock(space + 3))::integer,
        last - number, last, untold::integer
    ];
    line.more := handed;
    RETURN line;
END $$;

CREATE FUNCTION @lock_names(space bigint, alone boolean, names bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
-- Names of what may not be there yet, which are sorted. What walks over an index takes the namespace alone instead, since
-- no order fits.
BEGIN
    IF alone THEN
        PERFORM pg_advisory_xact_lock(space);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(space);
    END IF;
    PERFORM pg_advisory_xact_lock(n) FROM unnest(names) AS n;
END $$;

CREATE FUNCTION @lock_sessions(ids text[], owners text[], kinds text[]) RETURNS text[]
LANGUAGE plpgsql AS $$
-- After the names, the sessions that are there, in the order of their ids: those named by the batch, and the members of
-- limits.
BEGIN
    IF cardinality(owners) > 0 THEN
        ids := ids || ARRAY(
            SELECT s.id FROM unnest(owners, kinds) AS o(owner, kind) JOIN @sessions AS s
                ON s.owner IS NOT NULL AND (s.owner, s.kind, s.state) >= (o.owner, o.kind, 0)
                    AND (s.owner, s.kind, s.state) <= (o.owner, o.kind, 0)
        );
    END IF;
    RETURN ARRAY(SELECT s.id FROM @sessions AS s WHERE s.id = ANY (ids) ORDER BY s.id FOR NO KEY UPDATE);
END $$;

CREATE FUNCTION @load(place integer, ask @load) RETURNS SETOF @line
LANGUAGE plpgsql STABLE AS $$
DECLARE
    line @line;
    rec @sessions;
    one @items;
    name text;
    size bigint := 0;
BEGIN
    line.place := place;
    line.code := 2;
    FOREACH name IN ARRAY ask.keys LOOP
        IF strpos(name, '/') > 0 THEN
            SELECT * INTO one FROM @items AS i WHERE i.key = name;
            line.item := one;
            IF one.key IS NULL THEN line.item := NULL; END IF;
        ELSE
            SELECT * INTO rec FROM @sessions AS s WHERE s.id = name;
            line.session := rec;
            IF rec.id IS NULL THEN line.session := NULL; END IF;
        END IF;
        RETURN NEXT line;
        line.item := NULL;
        line.session := NULL;
    END LOOP;
    IF ask.under IS NULL THEN RETURN; END IF;
    line.code := 3;
    FOR one IN SELECT * FROM @items AS i WHERE i.key >= ask.under AND i.key < ask.beyond ORDER BY i.key LOOP
        line.more := size > 0 AND size + octet_length(one.data) > 1048576;
        size := size + greatest(1, octet_length(one.data));
        IF line.more THEN
            line.item := NULL;
            RETURN NEXT line;
            RETURN;
        END IF;
        line.item := one;
        RETURN NEXT line;
    END LOOP;
END $$;

CREATE FUNCTION @apply(
    server_clock boolean, space bigint, alone boolean, together boolean, names bigint[], ids text[], owners text[],
    kinds text[], spare integer[], plan smallint[], loads @load[], commits @commit[], parts @part[],
    endings @ending[], touches @touch[], asks @ask[], pages @page[], purges @purging[]
) RETURNS SETOF @line
LANGUAGE plpgsql
-- Plans are kept, and may have been made while the tables were empty: so each statement is written in a way that only
-- the right index fits (the order of all its columns, or a comparison of rows), and nothing else is allowed.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    -- How many of each have been applied.
    l integer := 0;
    c integer := 0;
    p integer := 1;
    e integer := 0;
    t integer := 0;
    a integer := 0;
    f integer := 0;
    u integer := 0;
    by_server double precision;
    outcome @outcome;
    line @line;
    events @event[] := '{}';
    types text[] := '{}';
    handed boolean := false;
    last bigint;
BEGIN
    IF space IS NOT NULL THEN
        PERFORM @lock_names(space, alone, names);
        IF together AND @roomy(owners, kinds, spare) THEN
            ids := @lock_sessions(ids, '{}', '{}');
            RETURN QUERY SELECT * FROM @together(space, plan, ids, loads, commits, parts, endings, touches);
            RETURN;
        END IF;
        IF cardinality(ids) + cardinality(owners) > 1 THEN PERFORM @lock_sessions(ids, owners, kinds); END IF;
    END IF;
    IF server_clock THEN by_server := extract(epoch FROM clock_timestamp()); END IF;
    FOR place IN 1 .. cardinality(plan) LOOP
        outcome := NULL;
        CASE plan[place]
            WHEN 1 THEN
                l := l + 1;
                RETURN QUERY SELECT * FROM @load(place, loads[l]);
                CONTINUE;
            WHEN 2 THEN
                c := c + 1;
                IF (commits[c]).parts = 1 AND NOT (parts[p]).item THEN
                    outcome := @commit_one(commits[c], parts[p], by_server);
                ELSE
                    outcome := @commit(commits[c], parts, p, by_server);
                END IF;
                p := p + (commits[c]).parts;
            WHEN 3 THEN
                e := e + 1;
                outcome := CASE WHEN (endings[e]).pick = 0 THEN @end_by_id(endings[e]) ELSE @end(endings[e]) END;
            WHEN 4 THEN
                t := t + 1;
                outcome.line := @touch(touches[t]);
            WHEN 5 THEN
                a := a + 1;
                outcome := @asked(asks[a], coalesce(by_server, (asks[a]).at));
            WHEN 6 THEN
                f := f + 1;
                IF (pages[f]).pick BETWEEN 7 AND 9 THEN
                    RETURN QUERY SELECT * FROM @find_by_key(place, pages[f]);
                ELSE
                    RETURN QUERY SELECT * FROM @find(place, pages[f]);
                END IF;
                CONTINUE;
            WHEN 7 THEN
                f := f + 1;
                line := NULL;
                line.code := 13;
                line.numbers := ARRAY[@count(pages[f])];
                outcome.line := line;
            WHEN 8 THEN
                u := u + 1;
                -- It may forget what this batch has written.
                IF cardinality(events) > 0 THEN
                    types := types || ARRAY(SELECT g.type FROM unnest(events) AS g);
                    last := @log(events, false);
                    events := '{}';
                END IF;
                outcome.line := @purge(purges[u], by_server);
        END CASE;
        handed := handed OR coalesce(outcome.handed, false);
        IF outcome.events IS NOT NULL THEN events := events || outcome.events; END IF;
        line := outcome.line;
        line.place := place;
        RETURN NEXT line;
    END LOOP;
    IF cardinality(events) > 0 OR handed THEN last := @log(events, handed); END IF;
    IF cardinality(events) + cardinality(types) > 0 OR handed THEN
        types := ARRAY(SELECT DISTINCT y FROM unnest(types || ARRAY(SELECT g.type FROM unnest(events) AS g)) AS y);
        RETURN NEXT @told(space, types, last, cardinality(events), true, handed);
    END IF;
END $$;

CREATE FUNCTION @asked(ask @ask, t double precision) RETURNS @outcome
LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE ask.what WHEN 0 THEN @acquire(ask, t) WHEN 1 THEN @renew(ask, t) ELSE @release(ask, t) END;
END $$;
