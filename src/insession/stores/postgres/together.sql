-- A batch whose operations stand in nobody's way: loads of sessions, openings that every limit has room for, new data,
-- touches and endings by id, each of a session that no other operation of the batch changes or reads. What they mean
-- does not depend on their order, so like ones are done as one statement, at a fraction of what a call for each costs.

CREATE FUNCTION @roomy(owners text[], kinds text[], spare integer[]) RETURNS boolean
LANGUAGE plpgsql AS $$
-- Whether all openings of the batch find room in whatever order. The names of the owners are locked.
BEGIN
    RETURN NOT EXISTS (
        SELECT FROM unnest(owners, kinds, spare) AS o(owner, kind, spare)
        WHERE o.spare < (
            SELECT count(*) FROM @sessions AS s
            WHERE s.owner IS NOT NULL AND (s.owner, s.kind, s.state) >= (o.owner, o.kind, 0)
                AND (s.owner, s.kind, s.state) <= (o.owner, o.kind, 0)
        )
    );
END $$;

CREATE FUNCTION @opened_together(
    at_places integer[], commits @commit[], parts @part[], present text[], numbers bigint[]
) RETURNS @several
LANGUAGE plpgsql AS $$
DECLARE
    result @several;
BEGIN
    WITH asked AS (
        SELECT * FROM unnest(at_places, commits, parts) AS o(
            place, at, change, by_node, several, limits, lease, ticket, token, again, item, id, guard, version, session,
            fields, data, event, reason, owner, expires
        )
        WHERE o.guard = 1 AND o.id <> ALL (present)
    ), opened AS (
        INSERT INTO @sessions SELECT
            (n.session).id, (n.session).kind, (n.session).owner, (n.session).node, (n.session).state, numbers[n.place],
            (n.session).change, (n.session).opened, (n.session).touched, (n.session)."window", (n.session).reach,
            (n.session).absolute, (n.session).due, (n.session).ended, (n.session).reason, (n.session).keep,
            (n.session).finish, (n.session).stopped, (n.session).data, (n.session).due,
            @rank((n.session).state, (n.session).opened, (n.session).ended, (n.session).keep, (n.session).finish)
        FROM asked AS n
    )
    SELECT coalesce(array_agg(n.place), '{}'), array_agg(n.place) FILTER (WHERE n.event IS NOT NULL), array_agg(
        ROW(n.event, n.at, n.id, (n.session).kind, (n.session).owner, numbers[n.place], n.reason, n.change,
            n.by_node)::@event
    ) FILTER (WHERE n.event IS NOT NULL)
    INTO result.done, result.places, result.events FROM asked AS n;
    RETURN result;
END $$;

CREATE FUNCTION @updated_together(at_places integer[], commits @commit[], parts @part[], numbers bigint[])
RETURNS @several
LANGUAGE plpgsql AS $$
DECLARE
    result @several;
BEGIN
    WITH changed AS (
        UPDATE @sessions AS s
        SET version = numbers[n.place], change = n.change, data = coalesce(n.data, s.data)
        FROM unnest(at_places, commits, parts) AS n(
            place, at, change, by_node, several, limits, lease, ticket, token, again, item, id, guard, version, session,
            fields, data, event, reason, owner, expires
        )
        WHERE s.id = n.id AND s.state < 1 AND s.due > n.at AND s.change <> n.change
            AND (n.guard = 3 OR n.guard = 2 AND s.version = n.version)
        RETURNING n.place, n.event IS NOT NULL AS told,
            ROW(n.event, n.at, s.id, s.kind, s.owner, s.version, n.reason, n.change, n.by_node)::@event AS event
    )
    SELECT coalesce(array_agg(n.place), '{}'), array_agg(n.place) FILTER (WHERE n.told),
        array_agg(n.event) FILTER (WHERE n.told)
    INTO result.done, result.places, result.events FROM changed AS n;
    RETURN result;
END $$;

CREATE FUNCTION @touched_together(at_places integer[], touches @touch[]) RETURNS @several
LANGUAGE plpgsql AS $$
DECLARE
    result @several;
BEGIN
    WITH touched AS (
        UPDATE @sessions AS s
        SET touched = n.at, due = greatest(least(n.at + s.reach, s.absolute), s.due)
        FROM unnest(at_places, touches) AS n(place, id, at, "window", before)
        WHERE s.id = n.id AND s.state < 1 AND s.due > n.at AND s.opened < n.before AND n.at - s.touched > n."window"
        RETURNING n.place, s.due
    )
    SELECT coalesce(array_agg(n.place), '{}'), array_agg(n.due) INTO result.done, result.dues FROM touched AS n;
    RETURN result;
END $$;

CREATE FUNCTION @ended_together(at_places integer[], endings @ending[], numbers bigint[]) RETURNS @several
LANGUAGE plpgsql AS $$
DECLARE
    result @several;
BEGIN
    WITH ended AS (
        UPDATE @sessions AS s
        SET state = n.state, version = numbers[n.place], change = n.change, ended = n.at, reason = n.reason,
            rank = @rank(n.state, s.opened, n.at, s.keep, s.finish)
        FROM unnest(at_places, endings) AS n(
            place, pick, id, kind, most, before, at, state, reason, due, change, by_node
        )
        WHERE s.id = n.id AND s.state < 1 AND (s.due <= n.at) = n.due AND s.opened < n.before AND s.change <> n.change
        RETURNING n.place, s.finish OR starts_with(s.kind, '~') AS untold, ROW(
            (ARRAY['interrupted', 'expired', 'closed'])[n.state], n.at, s.id, s.kind, s.owner, s.version, n.reason,
            n.change, n.by_node
        )::@event AS event
    )
    SELECT coalesce(array_agg(n.place), '{}'), array_agg(n.place), array_agg(n.event),
        coalesce(bool_or(n.untold), false)
    INTO result.done, result.places, result.events, result.untold FROM ended AS n;
    RETURN result;
END $$;

CREATE FUNCTION @together(
    space bigint, plan smallint[], present text[], loads @load[], commits @commit[], parts @part[], endings @ending[],
    touches @touch[]
) RETURNS SETOF @line
LANGUAGE plpgsql AS $$
-- What is done gets the version of its place, in a line of code 15; touches and what is due then one of code 16. Where
-- something stood in the way, the function for one of its kind says what. The sessions that are present are locked.
DECLARE
    numbers bigint[] := ARRAY(SELECT nextval('@number') FROM unnest(plan));
    at_places integer[];
    several @several;
    done integer[];
    places integer[] := '{}';
    events @event[] := '{}';
    untold boolean := false;
    last bigint;
    outcome @outcome;
    line @line;
BEGIN
    IF cardinality(loads) > 0 THEN
        RETURN QUERY SELECT f.* FROM unnest(array_positions(plan, 1::smallint), loads) AS o(place, keys, under, beyond),
            LATERAL @load(o.place, ROW(o.keys, o.under, o.beyond)::@load) AS f;
    END IF;
    IF cardinality(commits) > 0 THEN
        at_places := array_positions(plan, 2::smallint);
        several := @opened_together(at_places, commits, parts, present, numbers);
        done := several.done;
        places := places || several.places;
        events := events || several.events;
        IF cardinality(done) < cardinality(commits) THEN
            several := @updated_together(at_places, commits, parts, numbers);
            done := done || several.done;
            places := places || several.places;
            events := events || several.events;
        END IF;
        FOR n IN 1 .. cardinality(commits) LOOP
            EXIT WHEN cardinality(done) = cardinality(commits);
            CONTINUE WHEN at_places[n] = ANY (done);
            outcome := @commit_one(commits[n], parts[n], NULL);
            line := outcome.line;
            line.place := at_places[n];
            RETURN NEXT line;
            places := places || array_fill(line.place, ARRAY[coalesce(cardinality(outcome.events), 0)]);
            events := events || outcome.events;
        END LOOP;
    END IF;
    IF cardinality(touches) > 0 THEN
        at_places := array_positions(plan, 4::smallint);
        several := @touched_together(at_places, touches);
        line := NULL;
        line.place := 0;
        line.code := 16;
        line.numbers := several.done;
        line.moments := several.dues;
        RETURN NEXT line;
        FOR n IN 1 .. cardinality(touches) LOOP
            EXIT WHEN cardinality(several.done) = cardinality(touches);
            CONTINUE WHEN at_places[n] = ANY (several.done);
            line := @touch(touches[n]);
            line.place := at_places[n];
            RETURN NEXT line;
        END LOOP;
    END IF;
    IF cardinality(endings) > 0 THEN
        at_places := array_positions(plan, 3::smallint);
        several := @ended_together(at_places, endings, numbers);
        places := places || several.places;
        events := events || several.events;
        untold := several.untold;
        FOR n IN 1 .. cardinality(endings) LOOP
            EXIT WHEN cardinality(several.done) = cardinality(endings);
            CONTINUE WHEN at_places[n] = ANY (several.done);
            outcome := @end_by_id(endings[n]);
            line := outcome.line;
            line.place := at_places[n];
            RETURN NEXT line;
            -- Somebody opened it just now.
            untold := untold OR outcome.events IS NOT NULL;
            places := places || array_fill(line.place, ARRAY[coalesce(cardinality(outcome.events), 0)]);
            events := events || outcome.events;
        END LOOP;
    END IF;
    line := NULL;
    line.place := 0;
    line.code := 15;
    line.numbers := numbers;
    RETURN NEXT line;
    IF cardinality(events) > 0 THEN
        last := @log(ARRAY(
            SELECT ROW(h.type, h.time, h.id, h.kind, h.owner, h.version, h.reason, h.change, h.node)::@event
            FROM unnest(events, places) WITH ORDINALITY
                AS h(type, time, id, kind, owner, version, reason, change, node, place, n)
            ORDER BY h.place, h.n
        ), false);
        RETURN NEXT @told(
            space, ARRAY(SELECT DISTINCT h.type FROM unnest(events) AS h), last, cardinality(events), untold, false
        );
    END IF;
END $$;
