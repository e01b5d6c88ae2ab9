-- Commits of several parts, limits, and endings: `kernel.interpreter`, beside the data.

CREATE FUNCTION @room(doing @commit, new @sessions) RETURNS @outcome
LANGUAGE plpgsql AS $$
-- Makes room for one more under every limit; refused, nobody was evicted, but what was due has expired.
DECLARE
    result @outcome;
    events @event[] := '{}';
    evicted text[] := '{}';
    owners text[] := '{}';
    by_kind boolean;
    most integer;
    rule integer;
    members bigint;
    due text[];
    surplus bigint;
    leaving bigint;
    victims text[];
    victim_owners text[];
    one text;
BEGIN
    FOR n IN 0 .. cardinality(doing.limits) / 3 - 1 LOOP
        by_kind := doing.limits[3 * n + 1] = 1;
        most := doing.limits[3 * n + 2];
        rule := doing.limits[3 * n + 3];  -- 0 deny, 1 oldest, 2 least recently used
        CONTINUE WHEN NOT by_kind AND new.owner IS NULL;
        IF by_kind THEN
            SELECT count(*) INTO members FROM @sessions AS s
            WHERE (s.kind, s.state) >= (new.kind, 0) AND (s.kind, s.state) <= (new.kind, 0);
        ELSE
            SELECT count(*) INTO members FROM @sessions AS s
            WHERE s.owner IS NOT NULL AND (s.owner, s.kind, s.state) >= (new.owner, new.kind, 0)
                AND (s.owner, s.kind, s.state) <= (new.owner, new.kind, 0);
        END IF;
        CONTINUE WHEN members < most;
        IF by_kind THEN
            due := ARRAY(
                SELECT h.id FROM (
                    SELECT s.id, s.due FROM @sessions AS s
                    WHERE s.kind = new.kind AND s.state = 0 AND s.timer <= doing.at ORDER BY s.kind, s.timer, s.id
                ) AS h
                WHERE h.due <= doing.at ORDER BY h.due, h.id
            );
        ELSE
            due := ARRAY(
                SELECT s.id FROM @sessions AS s
                WHERE s.owner IS NOT NULL AND (s.owner, s.kind, s.state) >= (new.owner, new.kind, 0)
                    AND (s.owner, s.kind, s.state) <= (new.owner, new.kind, 0)
                    AND s.due <= doing.at
                ORDER BY s.owner, s.kind, s.state, s.rank, s.id
            );
        END IF;
        FOREACH one IN ARRAY due LOOP
            events := events || @end_one(one, doing.at, 2::smallint, 'expired', doing.change, doing.node);
        END LOOP;
        surplus := members - cardinality(due) - most + 1;
        CONTINUE WHEN surplus <= 0;
        SELECT count(*) INTO leaving FROM unnest(owners) AS o WHERE by_kind OR o = new.owner;
        IF rule = 0 AND surplus > leaving THEN
            result := @refused(5, NULL);
            result.events := events;
            RETURN result;
        END IF;
        SELECT array_agg(v.id ORDER BY v.n), array_agg(coalesce(v.owner, '') ORDER BY v.n)
        INTO victims, victim_owners
        FROM @victims(by_kind, rule = 1, new, surplus) WITH ORDINALITY AS v(id, owner, n)
        WHERE v.id <> ALL (evicted);
        evicted := evicted || victims[: greatest(0, surplus - leaving)];
        owners := owners || victim_owners[: greatest(0, surplus - leaving)];
    END LOOP;
    FOREACH one IN ARRAY evicted LOOP
        events := events || @end_one(one, doing.at, 1::smallint, 'limit', doing.change, doing.node);
    END LOOP;
    result.events := events;
    RETURN result;
END $$;

CREATE FUNCTION @rearmed(k text, most bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
-- Whether the first timers of a kind show what is due; those that show less are set, and others may be the first then.
-- Nobody else writes meanwhile, see `apply`.
BEGIN
    UPDATE @sessions AS s SET timer = s.due WHERE s.id = ANY (ARRAY(
        SELECT h.id FROM (
            SELECT f.id, f.timer, f.due FROM @sessions AS f WHERE f.kind = k AND f.state = 0
            ORDER BY f.kind, f.timer, f.id LIMIT most
        ) AS h
        WHERE h.timer < h.due
    ));
    RETURN NOT FOUND;
END $$;

CREATE FUNCTION @victims(by_kind boolean, oldest boolean, new @sessions, most bigint)
RETURNS TABLE (id text, owner text)
LANGUAGE plpgsql AS $$
-- Those of a limit that would go first.
BEGIN
    IF by_kind AND oldest THEN
        RETURN QUERY SELECT s.id, s.owner FROM @sessions AS s
            WHERE (s.kind, s.state) >= (new.kind, 0) AND (s.kind, s.state) <= (new.kind, 0)
            ORDER BY s.kind, s.state, s.rank, s.id LIMIT most;
    ELSIF by_kind THEN
        WHILE NOT @rearmed(new.kind, most) LOOP END LOOP;
        RETURN QUERY SELECT s.id, s.owner FROM @sessions AS s WHERE s.kind = new.kind AND s.state = 0
            ORDER BY s.kind, s.timer, s.id LIMIT most;
    ELSIF oldest THEN
        RETURN QUERY SELECT s.id, s.owner FROM @sessions AS s
            WHERE s.owner IS NOT NULL AND (s.owner, s.kind, s.state) >= (new.owner, new.kind, 0)
                AND (s.owner, s.kind, s.state) <= (new.owner, new.kind, 0)
            ORDER BY s.owner, s.kind, s.state, s.rank, s.id LIMIT most;
    ELSE
        RETURN QUERY SELECT s.id, s.owner FROM @sessions AS s
            WHERE s.owner IS NOT NULL AND (s.owner, s.kind, s.state) >= (new.owner, new.kind, 0)
                AND (s.owner, s.kind, s.state) <= (new.owner, new.kind, 0)
            ORDER BY s.touched, s.id LIMIT most;
    END IF;
END $$;

CREATE FUNCTION @commit(doing @commit, parts @part[], first integer, by_server double precision) RETURNS @outcome
LANGUAGE plpgsql AS $$
-- All parts or none. What stands there is read first: only then is anything changed.
DECLARE
    part @part;
    rec @sessions;
    one @items;
    recs @sessions[] := '{}';
    items @items[] := '{}';
    repeated boolean := false;
    replaced text[] := '{}';
    why integer;
    opening @sessions;
    room @outcome;
    event @event;
    events @event[] := '{}';
    versions bigint[] := '{}';
BEGIN
    FOR n IN 1 .. doing.parts LOOP
        part := parts[first + n - 1];
        rec := NULL;
        one := NULL;
        IF part.item THEN
            SELECT * INTO one FROM @items AS i WHERE i.key = part.id FOR NO KEY UPDATE;
            repeated := repeated OR coalesce(doing.change = ANY (one.changes), false);
        ELSE
            SELECT * INTO rec FROM @sessions AS s WHERE s.id = part.id FOR NO KEY UPDATE;
            repeated := repeated OR coalesce(rec.change = doing.change, false);
            IF (part.session).id IS NOT NULL THEN
                opening := part.session;
                IF rec.id IS NOT NULL THEN replaced := replaced || rec.id; END IF;
            END IF;
        END IF;
        recs := recs || rec;
        items := items || one;
    END LOOP;
    IF repeated THEN RETURN @done(@repeated(doing, recs, items), NULL); END IF;
    IF doing.lease IS NOT NULL AND @fenced(doing.lease, doing.ticket, doing.token, coalesce(by_server, doing.at)) THEN
        RETURN @refused(6, NULL);
    END IF;
    FOR n IN 1 .. doing.parts LOOP
        part := parts[first + n - 1];
        IF part.item THEN
            -- Below an ended session that is replaced there is nothing.
            IF split_part(part.id, '/', 1) = ANY (replaced) THEN items[n] := NULL; END IF;
            why := @judge_item(part, items[n], doing.at);
            IF why > 0 THEN RETURN @refused(why, NULL, CASE WHEN why = 1 THEN items[n] END); END IF;
        ELSE
            why := @judge(part.guard, part.version, recs[n], doing.at);
            IF why = 0 AND doing.again AND part.guard = 1 AND greatest((recs[n]).opened, (recs[n]).ended) >= doing.at THEN why := 2; END IF;
            IF why > 0 THEN RETURN @refused(why, recs[n]); END IF;
        END IF;
    END LOOP;
    IF doing.limits IS NOT NULL THEN
        room := @room(doing, opening);
        IF (room.line).code IS NOT NULL THEN RETURN room; END IF;
        events := room.events;
    END IF;
    -- Before anything is put, so that an item put below the new session is not taken along.
    PERFORM @remove(r) FROM unnest(replaced) AS r;
    FOR n IN 1 .. doing.parts LOOP
        part := parts[first + n - 1];
        IF part.item THEN
            versions := versions || @put(part, items[n], doing.change);
        ELSE
            event := @change(part, recs[n], doing);
            versions := versions || event.version;
            IF event.type IS NOT NULL THEN events := events || event; END IF;
        END IF;
    END LOOP;
    RETURN @done(versions, events);
END $$;

CREATE FUNCTION @repeated(doing @commit, recs @sessions[], items @items[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE AS $$
-- The versions that a change gave when it was done before; 0 where somebody else has written since.
DECLARE
    rec @sessions;
    one @items;
    versions bigint[] := '{}';
BEGIN
    FOR n IN 1 .. doing.parts LOOP
        rec := recs[n];
        one := items[n];
        versions := versions || CASE
            WHEN rec.change = doing.change THEN rec.version
            WHEN one.changes[cardinality(one.changes)] = doing.change THEN one.version
            ELSE 0
        END;
    END LOOP;
    RETURN versions;
END $$;

CREATE FUNCTION @touch(ask @touch) RETURNS @line
LANGUAGE plpgsql AS $$
DECLARE
    line @line;
    rec @sessions;
    refused @outcome;
BEGIN
    UPDATE @sessions AS s
    SET touched = ask.at, due = greatest(least(ask.at + s.reach, s.absolute), s.due)
    WHERE s.id = ask.id AND s.state < 1 AND s.due > ask.at AND s.opened < ask.before
        AND ask.at - s.touched > ask."window"
    RETURNING 6, s.due INTO line.code, line.moment;
    IF line.code IS NOT NULL THEN RETURN line; END IF;
    SELECT * INTO rec FROM @sessions AS s WHERE s.id = ask.id;
    refused := @refused(
        CASE WHEN rec.id IS NULL THEN 4 WHEN rec.opened >= ask.before THEN 1 WHEN rec.state <> 0 THEN 2
            WHEN rec.due <= ask.at THEN 3 END,
        rec
    );
    line := refused.line;
    IF line.numbers[1] IS NOT NULL THEN RETURN line; END IF;
    line := NULL;
    line.code := 6;
    line.moment := rec.due;
    RETURN line;
END $$;

CREATE FUNCTION @end_by_id(ask @ending) RETURNS @outcome
LANGUAGE plpgsql AS $$
DECLARE
    rec @sessions;
    why integer;
    event @event;
    result @outcome;
    line @line;
BEGIN
    UPDATE @sessions AS s
    SET state = ask.state, version = nextval('@number'), change = ask.change, ended = ask.at, reason = ask.reason,
        rank = @rank(ask.state, s.opened, ask.at, s.keep, s.finish)
    WHERE s.id = ask.value AND s.state < 1 AND (s.due <= ask.at) = ask.due AND s.opened < ask.before
        AND s.change <> ask.change
    RETURNING (ARRAY['interrupted', 'expired', 'closed'])[ask.state], ask.at, s.id, s.kind, s.owner, s.version,
        ask.reason, ask.change, ask.node
    INTO event;
    IF event.id IS NOT NULL THEN
        result.events := ARRAY[event];
    ELSE
        SELECT * INTO rec FROM @sessions AS s WHERE s.id = ask.value FOR NO KEY UPDATE;
        IF rec.change = ask.change THEN
            event.id := rec.id;
            event.version := rec.version;
        ELSE
            IF rec.opened >= ask.before THEN RETURN @refused(1, rec); END IF;
            why := @judge(CASE WHEN ask.due THEN 4 ELSE 3 END::smallint, 0, rec, ask.at);
            IF why > 0 THEN RETURN @refused(why, rec); END IF;
            -- It became so since we looked first.
            event := @end_one(rec.id, ask.at, ask.state, ask.reason, ask.change, ask.node);
            result.events := ARRAY[event];
        END IF;
    END IF;
    line.code := 7;
    line.names := ARRAY[event.id];
    line.numbers := ARRAY[event.version];
    line.more := false;
    line.moment := 'Infinity';
    result.line := line;
    RETURN result;
END $$;

CREATE FUNCTION @rearm(k text, most bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
-- Sets timers until the first ones are exact; not for ever, as many sessions may have been touched: whoever asks comes
-- again.
BEGIN
    FOR turn IN 1 .. 20 LOOP
        IF @rearmed(k, most) THEN RETURN true; END IF;
    END LOOP;
    RETURN false;
END $$;

CREATE FUNCTION @end(ask @ending) RETURNS @outcome
LANGUAGE plpgsql AS $$
-- Ends the first of an index. Nobody else writes meanwhile, see `apply`.
DECLARE
    exact boolean := true;
    kinds text[] := @kinds(ask.pick, ask.value, ask.kind);
    chosen text[] := '{}';
    k text;
    event @event;
    events @event[] := '{}';
    versions bigint[] := '{}';
    result @outcome;
    line @line;
BEGIN
    FOREACH k IN ARRAY kinds LOOP
        IF ask.pick = 5 THEN exact := @rearm(k, ask.most + 1) AND exact; END IF;
        CONTINUE WHEN cardinality(chosen) > ask.most;
        chosen := chosen || @picked(ask, k, ask.most + 1 - cardinality(chosen));
    END LOOP;
    line.code := 7;
    line.more := cardinality(chosen) > ask.most OR NOT exact;
    line.names := chosen[: ask.most];
    FOR n IN 1 .. cardinality(line.names) LOOP
        event := @end_one(chosen[n], ask.at, ask.state, ask.reason, ask.change, ask.node);
        events := events || event;
        versions := versions || event.version;
    END LOOP;
    line.numbers := versions;
    line.moment := 'Infinity';
    IF ask.pick = 5 THEN
        SELECT coalesce(min(d.timer), 'Infinity') INTO line.moment FROM unnest(kinds) AS every(kind), LATERAL (
            SELECT s.timer FROM @sessions AS s WHERE s.kind = every.kind AND s.state = 0
            ORDER BY s.kind, s.timer, s.id LIMIT 1
        ) AS d;
    END IF;
    result.line := line;
    result.events := events;
    RETURN result;
END $$;

CREATE FUNCTION @picked(ask @ending, k text, most integer) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    ids text[];
BEGIN
    IF ask.pick = 5 THEN
        RETURN ARRAY(
            SELECT s.id FROM @sessions AS s WHERE s.kind = k AND s.state = 0 AND s.timer <= ask.at AND s.due <= ask.at
            ORDER BY s.kind, s.timer, s.id LIMIT most
        );
    ELSIF ask.pick = 1 THEN
        RETURN ARRAY(
            SELECT s.id FROM @sessions AS s
            WHERE s.owner IS NOT NULL AND (s.owner, s.kind, s.state) >= (ask.value, k, 0)
                AND (s.owner, s.kind, s.state, s.rank) < (ask.value, k, 0, ask.before)
                AND (s.due <= ask.at) = ask.due
            ORDER BY s.owner, s.kind, s.state, s.rank, s.id LIMIT most
        );
    ELSIF ask.pick = 3 THEN
        RETURN ARRAY(
            SELECT s.id FROM @sessions AS s
            WHERE s.node IS NOT NULL AND (s.node, s.kind, s.state) >= (ask.value, k, 0)
                AND (s.node, s.kind, s.state, s.rank) < (ask.value, k, 0, ask.before)
                AND (s.due <= ask.at) = ask.due
            ORDER BY s.node, s.kind, s.state, s.rank, s.id LIMIT most
        );
    END IF;
    RETURN ARRAY(
        SELECT s.id FROM @sessions AS s
        WHERE (s.kind, s.state) >= (k, 0) AND (s.kind, s.state, s.rank) < (k, 0, ask.before)
            AND (s.due <= ask.at) = ask.due AND (ask.pick <> 6 OR s.finish)
        ORDER BY s.kind, s.state, s.rank, s.id LIMIT most
    );
END $$;
