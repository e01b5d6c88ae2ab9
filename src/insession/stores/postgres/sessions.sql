-- What a change of sessions and items means: `kernel.rules` and `kernel.interpreter`, beside the data.
--
-- guards: 0 any, 1 absent, 2 version, 3 live, 4 due, 5 ended, 6 same
-- refusals: 1 stale, 2 ended, 3 past due, 4 missing, 5 limit reached, 6 fenced off, 7 full, 8 taken, 9 lost

CREATE FUNCTION @records(ids text[]) RETURNS SETOF @sessions
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
-- What there is of these sessions, in any order.
BEGIN
    RETURN QUERY SELECT * FROM @sessions AS s WHERE s.id = ANY (ids);
END $$;

CREATE FUNCTION @refused(why integer, rec @sessions, one @items DEFAULT NULL) RETURNS @outcome
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    result @outcome;
    line @line;
BEGIN
    line.code := 5;
    line.numbers := ARRAY[why];
    -- Where nothing is, not a session of nulls.
    IF rec.id IS NOT NULL THEN line.session := rec; END IF;
    IF one.key IS NOT NULL THEN line.item := one; END IF;
    result.line := line;
    RETURN result;
END $$;

CREATE FUNCTION @done(versions bigint[], events @event[]) RETURNS @outcome
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    result @outcome;
    line @line;
BEGIN
    line.code := 4;
    line.numbers := versions;
    result.line := line;
    result.events := events;
    RETURN result;
END $$;

CREATE FUNCTION @judge(guard smallint, version bigint, rec @sessions, at double precision) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF guard = 1 THEN
        IF rec.id IS NULL OR (rec.state <> 0 AND NOT rec.finish) THEN RETURN 0; END IF;
        RETURN CASE WHEN rec.state = 0 AND rec.due <= at THEN 3 ELSE 1 END;
    END IF;
    IF rec.id IS NULL THEN RETURN 4; END IF;
    IF guard = 6 THEN RETURN CASE WHEN rec.version = version THEN 0 ELSE 1 END; END IF;
    IF guard = 5 THEN RETURN CASE WHEN rec.state <> 0 AND rec.version = version THEN 0 ELSE 1 END; END IF;
    IF rec.state <> 0 THEN RETURN 2; END IF;
    IF guard = 4 THEN RETURN CASE WHEN rec.due <= at THEN 0 ELSE 1 END; END IF;
    IF rec.due <= at THEN RETURN 3; END IF;
    RETURN CASE WHEN guard = 2 AND rec.version <> version THEN 1 ELSE 0 END;
END $$;

CREATE FUNCTION @judge_item(part @part, one @items, at double precision) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    present boolean := coalesce(one.expires > at, false);
BEGIN
    IF part.guard = 1 THEN RETURN present::integer; END IF;
    IF part.guard <> 2 THEN RETURN 0; END IF;
    IF NOT present THEN RETURN 4; END IF;
    RETURN CASE WHEN one.version = part.version THEN 0 ELSE 1 END;
END $$;

CREATE FUNCTION @end_one(
    session_id text, t double precision, new_state smallint, why text, by_change text, by_node text
) RETURNS @event
LANGUAGE plpgsql AS $$
DECLARE
    event @event;
BEGIN
    UPDATE @sessions AS s
    SET state = new_state, version = nextval('@number'), change = by_change, ended = t, reason = why,
        rank = @rank(new_state, s.opened, t, s.keep, s.finish)
    WHERE s.id = session_id
    RETURNING (ARRAY['interrupted', 'expired', 'closed'])[new_state], t, s.id, s.kind, s.owner, s.version,
        why, by_change, by_node
    INTO event;
    RETURN event;
END $$;

CREATE FUNCTION @remove(session_id text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- The character after the slash bounds what lies below an id.
    DELETE FROM @items AS i WHERE i.key >= session_id || '/' AND i.key < session_id || '0';
    DELETE FROM @sessions AS s WHERE s.id = session_id;
END $$;

CREATE FUNCTION @patched(part @part, rec @sessions, commit_change text) RETURNS @sessions
LANGUAGE plpgsql AS $$
DECLARE
    after @sessions := rec;
BEGIN
    IF part.fields IS NOT NULL THEN
        after := jsonb_populate_record(rec, part.fields);
        IF part.fields ? 'touched' THEN
            after.touched := greatest(after.touched, rec.touched);
            after.due := greatest(least(after.touched + rec.reach, rec.absolute), rec.due);
        END IF;
    END IF;
    IF part.data IS NOT NULL THEN after.data := part.data; END IF;
    IF part.guard <> 6 THEN
        after.version := nextval('@number');
        after.change := commit_change;
    END IF;
    UPDATE @sessions AS s
    SET kind = after.kind, owner = after.owner, node = after.node, state = after.state, version = after.version,
        change = after.change, opened = after.opened, touched = after.touched, "window" = after."window",
        reach = after.reach, absolute = after.absolute, due = after.due, ended = after.ended, reason = after.reason,
        keep = after.keep, finish = after.finish, stopped = after.stopped, data = after.data,
        timer = least(s.timer, after.due),
        rank = @rank(after.state, after.opened, after.ended, after.keep, after.finish)
    WHERE s.id = rec.id;
    RETURN after;
END $$;

CREATE FUNCTION @change(part @part, rec @sessions, doing @commit) RETURNS @event
LANGUAGE plpgsql AS $$
-- Opens a session, or patches the one that is there. The event of a change that tells nobody has no type.
DECLARE
    after @sessions;
    event @event;
BEGIN
    IF (part.session).id IS NOT NULL THEN
        after := part.session;
        after.version := nextval('@number');
        INSERT INTO @sessions VALUES (
            after.id, after.kind, after.owner, after.node, after.state, after.version, after.change, after.opened,
            after.touched, after."window", after.reach, after.absolute, after.due, after.ended, after.reason,
            after.keep, after.finish, after.stopped, after.data, after.due,
            @rank(after.state, after.opened, after.ended, after.keep, after.finish)
        );
    ELSE
        after := @patched(part, rec, doing.change);
    END IF;
    event.type := part.event;
    event.time := doing.at;
    event.id := after.id;
    event.kind := after.kind;
    event.owner := after.owner;
    event.version := after.version;
    event.reason := part.reason;
    event.change := doing.change;
    event.node := doing.node;
    RETURN event;
END $$;

CREATE FUNCTION @put(part @part, one @items, commit_change text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    number bigint := nextval('@number');
    changes text[] := coalesce(one.changes, '{}') || commit_change;
BEGIN
    IF part.data IS NULL THEN
        DELETE FROM @items AS i WHERE i.key = part.id;
        RETURN 0;
    END IF;
    INSERT INTO @items AS i VALUES (
        part.id, part.data, number, changes[greatest(1, cardinality(changes) - 7):], part.owner, part.expires
    )
    ON CONFLICT ON CONSTRAINT @~items_pkey DO UPDATE SET data = excluded.data, version = excluded.version,
        changes = excluded.changes, owner = excluded.owner, expires = excluded.expires;
    RETURN number;
END $$;

CREATE FUNCTION @update(doing @commit, part @part) RETURNS @event
LANGUAGE plpgsql AS $$
-- New data for a live session, if nothing stands in its way.
DECLARE
    event @event;
BEGIN
    UPDATE @sessions AS s
    SET version = nextval('@number'), change = doing.change, data = coalesce(part.data, s.data)
    WHERE s.id = part.id AND s.state < 1 AND s.due > doing.at AND s.change <> doing.change
        AND (part.guard = 3 OR s.version = part.version)
    RETURNING part.event, doing.at, s.id, s.kind, s.owner, s.version, part.reason, doing.change, doing.node
    INTO event;
    RETURN event;
END $$;

CREATE FUNCTION @commit_one(doing @commit, part @part, by_server double precision) RETURNS @outcome
LANGUAGE plpgsql AS $$
-- A commit of one session and nothing else: what nearly all of them are.
DECLARE
    rec @sessions;
    event @event;
    events @event[] := '{}';
    why integer;
    room @outcome;
BEGIN
    IF part.guard BETWEEN 2 AND 3 AND part.fields IS NULL AND doing.lease IS NULL THEN
        event := @update(doing, part);
        IF event.id IS NOT NULL THEN
            RETURN @done(ARRAY[event.version], CASE WHEN event.type IS NOT NULL THEN ARRAY[event] END);
        END IF;
    END IF;
    SELECT * INTO rec FROM @sessions AS s WHERE s.id = part.id FOR NO KEY UPDATE;
    IF rec.change = doing.change THEN RETURN @done(ARRAY[rec.version], NULL); END IF;
    IF doing.lease IS NOT NULL AND @fenced(doing.lease, doing.ticket, doing.token, coalesce(by_server, doing.at)) THEN
        RETURN @refused(6, NULL);
    END IF;
    why := @judge(part.guard, part.version, rec, doing.at);
    -- What ended since may be what this commit opened when it was sent first.
    IF why = 0 AND doing.again AND part.guard = 1 AND greatest(rec.opened, rec.ended) >= doing.at THEN why := 2; END IF;
    IF why > 0 THEN RETURN @refused(why, rec); END IF;
    IF doing.limits IS NOT NULL THEN
        room := @room(doing, part.session);
        IF (room.line).code IS NOT NULL THEN RETURN room; END IF;
        events := room.events;
    END IF;
    IF rec.id IS NOT NULL AND (part.session).id IS NOT NULL THEN PERFORM @remove(rec.id); END IF;
    event := @change(part, rec, doing);
    IF event.type IS NOT NULL THEN events := events || event; END IF;
    RETURN @done(ARRAY[event.version], events);
END $$;
