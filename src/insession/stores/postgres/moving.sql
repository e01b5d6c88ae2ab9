-- A store that does not stand open, and what it is filled with: `kernel.marks`, beside the data.

CREATE FUNCTION @stand(to_stand text, for_store text, above bigint, fresh_epoch text)
RETURNS TABLE (standing text, store text, number bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
-- What is under way may not have seen it yet: see `settle`.
DECLARE
    last bigint;
BEGIN
    IF to_stand IS NOT NULL THEN
        LOCK TABLE @mark IN EXCLUSIVE MODE;
        -- Whoever waits shall look: there may be another epoch to read.
        UPDATE @state AS s SET handed = s.handed + 1, epoch = CASE
            WHEN to_stand = 'open' AND EXISTS (SELECT FROM @mark) THEN fresh_epoch ELSE s.epoch END;
        DELETE FROM @mark;
    END IF;
    IF to_stand <> 'open' THEN
        INSERT INTO @mark VALUES (to_stand, for_store);
    ELSIF to_stand = 'open' THEN
        SELECT n.last_value INTO last FROM @number AS n;
        IF above > last THEN PERFORM setval('@number', above); END IF;
    END IF;
    RETURN QUERY
        SELECT coalesce(m.standing, 'open'), coalesce(m.store, ''), n.last_value
        FROM @number AS n LEFT JOIN @mark AS m ON true;
END $$;

CREATE FUNCTION @settle_sessions() RETURNS void
LANGUAGE plpgsql AS $$
-- Waits for statements that were begun before: each has locked the table before it looked for a mark.
BEGIN
    LOCK TABLE @sessions IN SHARE ROW EXCLUSIVE MODE;
END $$;

CREATE FUNCTION @take(space bigint, records @sessions[], ones @items[], gone text[]) RETURNS boolean
LANGUAGE plpgsql AS $$
-- Puts what another store has, no key twice; false: the store does not stand filling.
BEGIN
    PERFORM pg_advisory_xact_lock_shared(space);
    IF NOT EXISTS (SELECT FROM @mark AS m WHERE m.standing = 'filling') THEN RETURN false; END IF;
    DELETE FROM @sessions AS s WHERE s.id = ANY (gone);
    DELETE FROM @items AS i WHERE i.key = ANY (gone);
    INSERT INTO @sessions AS s (
        id, kind, owner, node, state, version, change, opened, touched, "window", reach, absolute, due, ended, reason, keep,
        finish, stopped, data, timer, rank
    )
    SELECT r.id, r.kind, r.owner, r.node, r.state, r.version, r.change, r.opened, r.touched, r."window", r.reach, r.absolute,
        r.due, r.ended, r.reason, r.keep, r.finish, r.stopped, r.data, r.due,
        @rank(r.state, r.opened, r.ended, r.keep, r.finish)
    FROM unnest(records) AS r
    ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, owner = excluded.owner, node = excluded.node,
        state = excluded.state, version = excluded.version, change = excluded.change, opened = excluded.opened,
        touched = excluded.touched, "window" = excluded."window", reach = excluded.reach, absolute = excluded.absolute,
        due = excluded.due, ended = excluded.ended, reason = excluded.reason, keep = excluded.keep,
        finish = excluded.finish, stopped = excluded.stopped, data = excluded.data, timer = excluded.timer, rank = excluded.rank
    WHERE (s.version, s.touched) <= (excluded.version, excluded.touched);
    INSERT INTO @items AS i SELECT o.* FROM unnest(ones) AS o
    ON CONFLICT (key) DO UPDATE SET data = excluded.data, version = excluded.version, changes = excluded.changes,
        owner = excluded.owner, expires = excluded.expires
    WHERE i.version <= excluded.version;
    RETURN true;
END $$;
