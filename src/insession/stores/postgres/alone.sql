-- What a lone operation does when nothing stands in its way, as a call of few plain values. Where something does, the
-- general call says what it is: an opening asks it here, an ending leaves that to whoever sent it.

CREATE FUNCTION @open_alone(
    server_clock boolean, space bigint, names bigint[], most integer, limits integer[], id text, kind text, owner text,
    node text, change text, opened double precision, touched double precision, "window" double precision,
    reach double precision, absolute double precision, due double precision, keep double precision, finish boolean,
    data bytea, event text, event_reason text, event_time double precision, event_node text
) RETURNS SETOF @line
LANGUAGE plpgsql
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET enable_sort = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
    doing @commit;
    part @part;
    last bigint;
    number bigint;
    line @line;
BEGIN
    PERFORM @lock_names(space, false, names);
    IF most IS NULL OR most > (
        SELECT count(*) FROM @sessions AS s
        WHERE s.owner IS NOT NULL AND (s.owner, s.kind, s.state) >= (owner, kind, 0)
            AND (s.owner, s.kind, s.state) <= (owner, kind, 0)
    ) THEN
        INSERT INTO @sessions AS s VALUES (
            id, kind, owner, node, 0, nextval('@number'), change, opened, touched, "window", reach, absolute, due, 0,
            NULL, keep, finish, NULL, data, due, opened
        ) ON CONFLICT DO NOTHING RETURNING s.version INTO number;
    END IF;
    IF number IS NULL THEN
        doing := ROW(event_time, change, event_node, 1, limits, NULL, NULL, NULL, false);
        part := ROW(
            false, id, 1, 0, ROW(
                id, kind, owner, node, 0, 0, change, opened, touched, "window", reach, absolute, due, 0, NULL, keep,
                finish, NULL, data, due, opened
            )::@sessions, NULL, NULL, event, event_reason, NULL, NULL
        );
        RETURN QUERY SELECT * FROM @apply(
            server_clock, space, false, false, names, ARRAY[id], CASE WHEN most > 0 THEN ARRAY[owner] ELSE '{}' END,
            CASE WHEN most > 0 THEN ARRAY[kind] ELSE '{}' END, '{}', '{2}', '{}', ARRAY[doing], ARRAY[part], '{}', '{}',
            '{}', '{}', '{}'
        );
        RETURN;
    END IF;
    line.place := 1;
    line.code := 4;
    line.numbers := ARRAY[number];
    RETURN NEXT line;
    IF event IS NOT NULL THEN
        UPDATE @state AS s SET position = s.position + 1 RETURNING s.position INTO last;
        INSERT INTO @events VALUES (
            last, event, event_time, id, kind, owner, number, event_reason, change, event_node
        );
        RETURN NEXT @told(space, ARRAY[event], last, 1, false, false);
    END IF;
END $$;

CREATE FUNCTION @end_alone(
    space bigint, session_id text, before double precision, t double precision, new_state smallint, why text,
    expiry boolean, by_change text, by_node text
) RETURNS SETOF @line
LANGUAGE plpgsql
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    last bigint;
    type text := (ARRAY['interrupted', 'expired', 'closed'])[new_state];
    kind text;
    owner text;
    number bigint;
    untold boolean;
    line @line;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(space);
    UPDATE @sessions AS s
    SET state = new_state, version = nextval('@number'), change = by_change, ended = t, reason = why,
        rank = @rank(new_state, s.opened, t, s.keep, s.finish)
    WHERE s.id = session_id AND s.state < 1 AND (s.due <= t) = expiry AND s.opened < before AND s.change <> by_change
    RETURNING s.kind, s.owner, s.version, s.finish OR starts_with(s.kind, '~') INTO kind, owner, number, untold;
    IF number IS NULL THEN RETURN; END IF;
    UPDATE @state AS s SET position = s.position + 1 RETURNING s.position INTO last;
    INSERT INTO @events VALUES (last, type, t, session_id, kind, owner, number, why, by_change, by_node);
    line.place := 1;
    line.code := 7;
    line.names := ARRAY[session_id];
    line.numbers := ARRAY[number];
    line.moment := 'Infinity';
    line.more := false;
    RETURN NEXT line;
    RETURN NEXT @told(space, ARRAY[type], last, 1, untold, false);
END $$;
