-- Leases: `kernel.leases`, beside the data. `t` is the time that they go by.

CREATE FUNCTION @fenced(lease_name text, whose text, number bigint, t double precision) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT FROM @leases AS l, unnest(l.holders) AS h
        WHERE l.name = lease_name AND h.ticket = whose AND h.token = number
            AND h.until > t AND NOT h.void
    );
END $$;

CREATE FUNCTION @swept(lease_name text, t double precision) RETURNS @leases
LANGUAGE plpgsql AS $$
-- A lease without what has run out; notes taken under a lost permit wait again, in front.
DECLARE
    lease @leases;
    h @holder;
    w @waiter;
    holders @holder[] := '{}';
    back @waiter[] := '{}';
    queue @waiter[] := '{}';
BEGIN
    SELECT * INTO lease FROM @leases AS l WHERE l.name = lease_name FOR NO KEY UPDATE;
    IF lease.name IS NULL THEN
        lease.name := lease_name;
        lease.holders := '{}';
        lease.queue := '{}';
        RETURN lease;
    END IF;
    FOREACH h IN ARRAY lease.holders LOOP
        IF h.until > t THEN holders := holders || h; ELSE back := back || h.notes; END IF;
    END LOOP;
    FOREACH w IN ARRAY back || lease.queue LOOP
        IF w.until > t THEN queue := queue || w; END IF;
    END LOOP;
    lease.holders := holders;
    lease.queue := queue;
    RETURN lease;
END $$;

CREATE FUNCTION @keep(lease @leases) RETURNS void
LANGUAGE plpgsql AS $$
-- What nobody holds or waits for leaves nothing behind.
DECLARE
    last double precision;
BEGIN
    IF cardinality(lease.holders) = 0 AND cardinality(lease.queue) = 0 THEN
        DELETE FROM @leases AS l WHERE l.name = lease.name;
        RETURN;
    END IF;
    SELECT max(u.until) INTO last FROM (
        SELECT h.until FROM unnest(lease.holders) AS h
        UNION ALL SELECT w.until FROM unnest(lease.queue) AS w
        UNION ALL SELECT n.until FROM unnest(lease.holders) AS h, unnest(h.notes) AS n
    ) AS u;
    INSERT INTO @leases AS l VALUES (lease.name, lease.holders, lease.queue, last)
    ON CONFLICT ON CONSTRAINT @~leases_pkey DO UPDATE SET holders = excluded.holders, queue = excluded.queue,
        until = excluded.until;
END $$;

CREATE FUNCTION @hold_on(lease @leases, n integer, until double precision, take boolean) RETURNS @outcome
LANGUAGE plpgsql AS $$
-- The n-th holder goes on, and with `take` has the notes of all who wait by now.
DECLARE
    h @holder := lease.holders[n];
    w @waiter;
    rest @waiter[] := '{}';
    result @outcome;
    line @line;
BEGIN
    IF h.void THEN
        PERFORM @keep(lease);
        RETURN @refused(9, NULL);
    END IF;
    IF take THEN
        FOREACH w IN ARRAY lease.queue LOOP
            IF w.note IS NULL THEN rest := rest || w; ELSE h.notes := h.notes || w; END IF;
        END LOOP;
        lease.queue := rest;
    END IF;
    h.until := greatest(h.until, until);
    lease.holders[n] := h;
    PERFORM @keep(lease);
    line.code := 8;
    line.numbers := ARRAY[h.token];
    line.moment := h.until;
    line.notes := ARRAY(SELECT t.note FROM unnest(h.notes) WITH ORDINALITY AS t(ticket, until, note, displaces, n)
        WHERE t.note IS NOT NULL ORDER BY t.n);
    result.line := line;
    RETURN result;
END $$;

CREATE FUNCTION @still_taken(lease @leases, n integer, ask @ask, t double precision) RETURNS @outcome
LANGUAGE plpgsql AS $$
-- A taken ticket that goes on asking lives on: it waits again should the permit be lost.
DECLARE
    h @holder := lease.holders[n];
    result @outcome;
    line @line;
BEGIN
    h.notes := @prolonged(h.notes, ask.ticket, t + ask.ttl);
    lease.holders[n] := h;
    PERFORM @keep(lease);
    line.code := 9;
    line.moment := h.until;
    line.numbers := ARRAY[0];
    line.more := true;
    result.line := line;
    RETURN result;
END $$;

CREATE FUNCTION @prolonged(notes @waiter[], ticket text, until double precision) RETURNS @waiter[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    w @waiter;
BEGIN
    FOR n IN 1 .. cardinality(notes) LOOP
        w := notes[n];
        IF w.ticket = ticket THEN
            w.until := until;
            notes[n] := w;
        END IF;
    END LOOP;
    RETURN notes;
END $$;

CREATE FUNCTION @acquire(ask @ask, t double precision) RETURNS @outcome
LANGUAGE plpgsql AS $$
DECLARE
    lease @leases := @swept(ask.lease, t);
    h @holder;
    w @waiter;
    known boolean := false;
    place integer;
    queue @waiter[] := '{}';
    result @outcome;
BEGIN
    FOR n IN 1 .. cardinality(lease.holders) LOOP
        IF (lease.holders[n]).ticket = ask.ticket THEN RETURN @hold_on(lease, n, t + ask.ttl, ask.take); END IF;
    END LOOP;
    FOR n IN 1 .. cardinality(lease.holders) LOOP
        h := lease.holders[n];
        IF EXISTS (SELECT FROM unnest(h.notes) AS o WHERE o.ticket = ask.ticket) THEN
            RETURN @still_taken(lease, n, ask, t);
        END IF;
    END LOOP;
    -- A displacing one comes before those that only wait.
    FOREACH w IN ARRAY lease.queue LOOP
        known := known OR w.ticket = ask.ticket;
        IF place IS NULL AND (w.ticket = ask.ticket OR (ask.displace AND NOT w.displaces)) THEN
            place := cardinality(queue);
        END IF;
        IF w.ticket <> ask.ticket THEN queue := queue || w; END IF;
    END LOOP;
    place := coalesce(place, cardinality(queue));
    IF ask.again AND NOT known THEN
        PERFORM @keep(lease);
        RETURN @refused(8, NULL);
    END IF;
    IF place = 0 AND cardinality(lease.holders) < ask.permits THEN
        h := ROW(ask.ticket, nextval('@number'), t + ask.ttl, false, '{}'::@waiter[]);
        lease.holders := lease.holders || h;
        lease.queue := queue;
        result := @hold_on(lease, cardinality(lease.holders), h.until, ask.take);
        -- The next in the queue may have asked before this one, which stood in its way.
        result.handed := cardinality(lease.holders) < ask.permits
            AND EXISTS (SELECT FROM unnest(queue) AS q WHERE NOT ask.take OR q.note IS NULL);
        RETURN result;
    END IF;
    IF NOT known AND cardinality(lease.queue) >= ask.queue THEN
        PERFORM @keep(lease);
        RETURN @refused(7, NULL);
    END IF;
    w := ROW(ask.ticket, t + ask.ttl, ask.note, ask.displace);
    lease.queue := queue[: place] || w || queue[place + 1 :];
    RETURN @wait(lease, ask, place, t);
END $$;

CREATE FUNCTION @wait(lease @leases, ask @ask, place integer, t double precision) RETURNS @outcome
LANGUAGE plpgsql AS $$
-- Waits at a place of the queue; one that displaces voids the permit that was granted first, if none is free or voided.
DECLARE
    h @holder;
    victim integer := 1;
    event @event;
    result @outcome;
    line @line;
BEGIN
    IF ask.displace AND cardinality(lease.holders) >= ask.permits
        AND NOT EXISTS (SELECT FROM unnest(lease.holders) AS v WHERE v.void)
    THEN
        FOR n IN 2 .. cardinality(lease.holders) LOOP
            IF (lease.holders[n]).token < (lease.holders[victim]).token THEN victim := n; END IF;
        END LOOP;
        h := lease.holders[victim];
        h.void := true;
        h.until := least(h.until, t + ask.grace);
        lease.holders[victim] := h;
        event := ROW('displaced', ask.at, lease.name, '~lease', NULL, h.token, NULL, h.ticket, ask.node);
        result.events := ARRAY[event];
    END IF;
    PERFORM @keep(lease);
    line.code := 9;
    SELECT coalesce(min(u.until), 'Infinity') INTO line.moment FROM (
        SELECT o.until FROM unnest(lease.holders) AS o
        UNION ALL SELECT q.until FROM unnest(lease.queue[: place]) AS q
    ) AS u;
    line.numbers := ARRAY[place];
    line.more := false;
    result.line := line;
    RETURN result;
END $$;

CREATE FUNCTION @renew(ask @ask, t double precision) RETURNS @outcome
LANGUAGE plpgsql AS $$
DECLARE
    lease @leases := @swept(ask.lease, t);
    h @holder;
BEGIN
    FOR n IN 1 .. cardinality(lease.holders) LOOP
        h := lease.holders[n];
        IF h.ticket = ask.ticket AND h.token = ask.token AND NOT h.void THEN
            RETURN @hold_on(lease, n, t + ask.ttl, ask.take);
        END IF;
    END LOOP;
    PERFORM @keep(lease);
    RETURN @refused(9, NULL);
END $$;

CREATE FUNCTION @release(ask @ask, t double precision) RETURNS @outcome
LANGUAGE plpgsql AS $$
DECLARE
    lease @leases := @swept(ask.lease, t);
    h @holder;
    w @waiter;
    holders @holder[] := '{}';
    queue @waiter[] := '{}';
    held boolean := false;
    result @outcome;
    line @line;
BEGIN
    line.code := 10;
    FOREACH h IN ARRAY lease.holders LOOP
        IF h.ticket = ask.ticket THEN
            held := true;
        ELSE
            -- A ticket that gives up while its note is taken does not wait again, should the permit be lost.
            h.notes := @prolonged(h.notes, ask.ticket, t);
            holders := holders || h;
        END IF;
    END LOOP;
    -- `again` says: only if nobody waits.
    line.more := NOT (ask.again AND held AND cardinality(lease.queue) > 0);
    IF line.more THEN
        FOREACH w IN ARRAY lease.queue LOOP
            IF w.ticket <> ask.ticket THEN queue := queue || w; END IF;
        END LOOP;
        lease.holders := holders;
        lease.queue := queue;
    END IF;
    PERFORM @keep(lease);
    result.handed := cardinality(lease.queue) > 0;
    IF result.handed THEN line.names := ARRAY[(lease.queue[1]).ticket]; END IF;
    result.line := line;
    RETURN result;
END $$;
