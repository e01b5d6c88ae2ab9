-- What a lone operation does when nothing stands in its way, as a call of few plain values. Where something does, nothing
-- is changed and nothing answered: `apply` then says what it is.

CREATE FUNCTION @open_alone(
    space bigint, id text, kind text, owner text, node text, change text, opened double precision,
    touched double precision, "window" double precision, reach double precision, absolute double precision,
    due double precision, keep double precision, finish boolean, data bytea, event text, event_reason text,
    event_time double precision, event_node text
) RETURNS TABLE (number bigint, wanted boolean)
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    happened @event;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(space);
    IF EXISTS (SELECT FROM @mark) THEN RETURN; END IF;
    INSERT INTO @sessions AS s VALUES (
        id, kind, owner, node, 0, nextval('@number'), change, opened, touched, "window", reach, absolute, due, 0, NULL,
        keep, finish, NULL, data
    ) ON CONFLICT DO NOTHING RETURNING s.version INTO number;
    IF number IS NULL THEN RETURN; END IF;
    IF event IS NOT NULL THEN
        happened := ROW(event, event_time, id, kind, owner, number, event_reason, change, event_node);
        PERFORM @log(ARRAY[happened], false);
        wanted := NOT pg_try_advisory_xact_lock(space + 1);
    END IF;
    RETURN NEXT;
END $$;

CREATE FUNCTION @end_alone(
    space bigint, session_id text, before double precision, t double precision, new_state smallint, why text,
    expiry boolean, by_change text, by_node text
) RETURNS TABLE (number bigint, wanted boolean)
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    happened @event;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(space);
    IF EXISTS (SELECT FROM @mark) THEN RETURN; END IF;
    UPDATE @sessions AS s
    SET state = new_state, version = nextval('@number'), change = by_change, ended = t, reason = why
    WHERE s.id = session_id AND s.state < 1 AND (s.due <= t) = expiry AND s.opened < before AND s.change <> by_change
    RETURNING (ARRAY['interrupted', 'expired', 'closed'])[new_state], t, s.id, s.kind, s.owner, s.version, why,
        by_change, by_node
    INTO happened;
    IF happened.id IS NULL THEN RETURN; END IF;
    PERFORM @log(ARRAY[happened], false);
    number := happened.version;
    wanted := NOT pg_try_advisory_xact_lock(space + 1);
    RETURN NEXT;
END $$;
