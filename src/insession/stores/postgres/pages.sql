-- Pages, numbers and purges: `kernel.pages` and `kernel.purges`, beside the data.
--
-- indexes: 0 id, 1 owner, 2 kind, 3 node, 4 all, 5 due, 6 finish, 7 item, 8 item owner, 9 lease

CREATE FUNCTION @kinds(pick smallint, value text, only_kind text) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
-- The kinds that a pick, a page or a number speaks of, in order; found by skipping along an index.
BEGIN
    IF pick = 2 THEN
        RETURN CASE WHEN only_kind IS NULL OR only_kind = value THEN ARRAY[coalesce(value, '')] ELSE '{}' END;
    ELSIF only_kind IS NOT NULL THEN
        RETURN ARRAY[only_kind];
    END IF;
    RETURN ARRAY(
        WITH RECURSIVE every AS (
            (SELECT s.kind FROM @sessions AS s ORDER BY s.kind LIMIT 1)
            UNION ALL
            SELECT (SELECT s.kind FROM @sessions AS s WHERE s.kind > e.kind ORDER BY s.kind LIMIT 1)
            FROM every AS e WHERE e.kind IS NOT NULL
        )
        SELECT e.kind FROM every AS e
        WHERE e.kind IS NOT NULL AND (pick = 5 OR NOT starts_with(e.kind, '~')) ORDER BY e.kind
    );
END $$;

CREATE FUNCTION @walk(
    ask @page, k text, low smallint, high smallint, after_rank double precision, after_id text, most integer
) RETURNS SETOF @sessions
LANGUAGE plpgsql STABLE AS $$
-- The first sessions of an index of one kind, in states from `low` to `high`, after a place in `low`.
BEGIN
    IF ask.pick = 1 THEN
        RETURN QUERY SELECT * FROM @sessions AS s
            WHERE s.owner = ask.value AND s.kind = k AND s.state <= high
                AND (s.state, s.rank, s.id) > (low, after_rank, after_id)
            ORDER BY s.state, s.rank, s.id LIMIT most;
    ELSIF ask.pick = 3 THEN
        RETURN QUERY SELECT * FROM @sessions AS s
            WHERE s.node = ask.value AND s.kind = k AND s.state <= high
                AND (s.state, s.rank, s.id) > (low, after_rank, after_id)
            ORDER BY s.state, s.rank, s.id LIMIT most;
    ELSIF ask.pick = 6 THEN
        RETURN QUERY SELECT * FROM @sessions AS s
            WHERE s.finish AND s.kind = k AND s.state <= high
                AND (s.state, s.rank, s.id) > (low, after_rank, after_id)
            ORDER BY s.state, s.rank, s.id LIMIT most;
    ELSE
        RETURN QUERY SELECT * FROM @sessions AS s
            WHERE s.kind = k AND s.state <= high
                AND (s.state, s.rank, s.id) > (low, after_rank, after_id)
            ORDER BY s.state, s.rank, s.id LIMIT most;
    END IF;
END $$;

CREATE FUNCTION @find(place integer, ask @page) RETURNS SETOF @line
LANGUAGE plpgsql STABLE AS $$
DECLARE
    line @line;
    rec @sessions;
    k text;
    low smallint;
    number integer := 0;
BEGIN
    line.place := place;
    line.code := 11;
    FOREACH k IN ARRAY @kinds(ask.pick, ask.value, ask.kind) LOOP
        CONTINUE WHEN k < ask.after_kind COLLATE "C";
        low := coalesce(ask.state, 0);
        IF k = ask.after_kind THEN low := greatest(low, ask.after_state); END IF;
        CONTINUE WHEN low > coalesce(ask.state, 3);
        FOR rec IN
            SELECT * FROM @walk(
                ask, k, low, coalesce(ask.state, 3::smallint),
                CASE WHEN k = ask.after_kind AND low = ask.after_state THEN ask.after_rank ELSE '-Infinity' END,
                CASE WHEN k = ask.after_kind AND low = ask.after_state THEN ask.after ELSE '' END,
                ask.most + 1 - number
            )
        LOOP
            number := number + 1;
            EXIT WHEN number > ask.most;
            line.session := rec;
            RETURN NEXT line;
        END LOOP;
        EXIT WHEN number > ask.most;
    END LOOP;
    line.code := 12;
    line.session := NULL;
    line.more := number > ask.most;
    RETURN NEXT line;
END $$;

CREATE FUNCTION @find_by_key(place integer, ask @page) RETURNS SETOF @line
LANGUAGE plpgsql STABLE AS $$
DECLARE
    line @line;
    one @items;
    lease @leases;
    number integer := 0;
    from_key text := coalesce(ask.value, '');
    after_key text := coalesce(ask.after, '');
BEGIN
    line.place := place;
    line.code := 11;
    IF ask.pick = 9 THEN
        FOR lease IN
            SELECT * FROM @leases AS l
            WHERE l.name >= from_key AND l.name > after_key AND (ask.beyond IS NULL OR l.name < ask.beyond)
            ORDER BY l.name LIMIT ask.most + 1
        LOOP
            number := number + 1;
            EXIT WHEN number > ask.most;
            line.names := lease.name || ARRAY(SELECT h.ticket FROM unnest(lease.holders) AS h)
                || ARRAY(SELECT w.ticket FROM unnest(lease.queue) AS w);
            line.numbers := ARRAY[cardinality(lease.holders)];
            RETURN NEXT line;
        END LOOP;
        line.names := NULL;
    ELSE
        FOR one IN SELECT * FROM @items_from(ask, from_key, after_key) LOOP
            number := number + 1;
            EXIT WHEN number > ask.most;
            line.item := one;
            RETURN NEXT line;
        END LOOP;
        line.item := NULL;
    END IF;
    line.code := 12;
    line.more := number > ask.most;
    RETURN NEXT line;
END $$;

CREATE FUNCTION @items_from(ask @page, from_key text, after_key text) RETURNS SETOF @items
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF ask.pick = 8 THEN
        RETURN QUERY SELECT * FROM @items AS i WHERE i.owner = from_key AND i.key > after_key
            ORDER BY i.key LIMIT ask.most + 1;
    ELSIF ask.beyond IS NULL THEN
        RETURN QUERY SELECT * FROM @items AS i WHERE i.key >= from_key AND i.key > after_key
            ORDER BY i.key LIMIT ask.most + 1;
    ELSE
        RETURN QUERY SELECT * FROM @items AS i
            WHERE i.key >= from_key AND i.key > after_key AND i.key < ask.beyond
            ORDER BY i.key LIMIT ask.most + 1;
    END IF;
END $$;

CREATE FUNCTION @count(ask @page) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    every text[] := @kinds(ask.pick, ask.value, ask.kind);
    low smallint := coalesce(ask.state, 0);
    high smallint := coalesce(ask.state, 3);
BEGIN
    IF ask.pick = 1 THEN
        RETURN (SELECT count(*) FROM @sessions AS s
            WHERE s.owner = ask.value AND s.kind = ANY (every) AND s.state BETWEEN low AND high);
    ELSIF ask.pick = 3 THEN
        RETURN (SELECT count(*) FROM @sessions AS s
            WHERE s.node = ask.value AND s.kind = ANY (every) AND s.state BETWEEN low AND high);
    ELSIF ask.pick = 6 THEN
        RETURN (SELECT count(*) FROM @sessions AS s
            WHERE s.finish AND s.kind = ANY (every) AND s.state BETWEEN low AND high);
    END IF;
    RETURN (SELECT count(*) FROM @sessions AS s WHERE s.kind = ANY (every) AND s.state BETWEEN low AND high);
END $$;

CREATE FUNCTION @purge(ask @purging, by_server double precision) RETURNS @line
LANGUAGE plpgsql AS $$
-- Nobody else writes meanwhile, see `apply`.
DECLARE
    line @line;
    removed bigint;
    most_of_them bigint;
BEGIN
    IF ask.owner IS NOT NULL THEN
        removed := @purge_owner(ask.owner, ask.most);
        most_of_them := removed;
    ELSIF ask.kind IS NOT NULL THEN
        removed := @purge_kind(ask);
        most_of_them := removed;
    ELSE
        SELECT sum(p), max(p) INTO removed, most_of_them
        FROM unnest(ARRAY[@purge_items(ask), @purge_leases(ask, by_server), @trim(ask)]) AS p;
    END IF;
    line.code := 13;
    line.numbers := ARRAY[removed];
    line.more := most_of_them >= ask.most;
    RETURN line;
END $$;

CREATE FUNCTION @purge_kind(ask @purging) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    over bigint := 0;
    old text[];
BEGIN
    IF ask.count IS NOT NULL THEN
        SELECT greatest(0, count(*) - ask.count) INTO over
        FROM @sessions AS s WHERE s.kind = ask.kind AND s.state BETWEEN 1 AND 3;
    END IF;
    old := ARRAY(
        SELECT h.id FROM (
            SELECT o.id, o.finish, o.rank, row_number() OVER (ORDER BY o.rank, o.id) AS n
            FROM generate_series(1, 3) AS ends(state), LATERAL (
                SELECT s.id, s.finish, s.rank FROM @sessions AS s WHERE s.kind = ask.kind AND s.state = ends.state
                ORDER BY s.rank, s.id LIMIT ask.most
            ) AS o
        ) AS h
        WHERE h.n <= ask.most AND NOT h.finish AND (h.rank <= ask.before OR h.n <= over)
    );
    PERFORM @remove(o) FROM unnest(old) AS o;
    RETURN cardinality(old);
END $$;

CREATE FUNCTION @purge_owner(whose text, most bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    old text[] := ARRAY(
        SELECT s.id FROM @sessions AS s WHERE s.owner = whose AND s.state BETWEEN 1 AND 3
        ORDER BY s.kind, s.state, s.rank, s.id LIMIT most
    );
    removed bigint := cardinality(old);
    number bigint;
BEGIN
    PERFORM @remove(o) FROM unnest(old) AS o;
    DELETE FROM @items AS i WHERE i.key IN (
        SELECT j.key FROM @items AS j WHERE j.owner = whose ORDER BY j.key LIMIT most - removed
    );
    GET DIAGNOSTICS number = ROW_COUNT;
    removed := removed + number;
    DELETE FROM @events AS e WHERE e.position IN (
        SELECT f.position FROM @events AS f WHERE f.owner = whose ORDER BY f.position LIMIT most - removed
    );
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN removed + number;
END $$;

CREATE FUNCTION @purge_items(ask @purging) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    DELETE FROM @items AS i WHERE i.key IN (
        SELECT j.key FROM @items AS j WHERE j.expires <= ask.before AND j.expires < 'Infinity'
        ORDER BY j.expires, j.key LIMIT ask.most
    );
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN number;
END $$;

CREATE FUNCTION @purge_leases(ask @purging, by_server double precision) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    DELETE FROM @leases AS l WHERE l.name IN (
        SELECT m.name FROM @leases AS m WHERE m.until <= coalesce(by_server, ask.before) LIMIT ask.most
    );
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN number;
END $$;

CREATE FUNCTION @trim(ask @purging) RETURNS bigint
LANGUAGE plpgsql AS $$
-- Forgets the oldest events, up to the first that is not old enough.
DECLARE
    last_old bigint;
    number bigint;
BEGIN
    SELECT max(h.position) INTO last_old
    FROM (
        SELECT e.position, bool_and(e.time < ask.trim) OVER (ORDER BY e.position) AS old
        FROM (SELECT f.position, f.time FROM @events AS f ORDER BY f.position LIMIT ask.most) AS e
    ) AS h
    WHERE h.old;
    IF last_old IS NULL THEN RETURN 0; END IF;
    UPDATE @state SET first = last_old + 1;
    DELETE FROM @events AS e WHERE e.position <= last_old;
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN number;
END $$;
