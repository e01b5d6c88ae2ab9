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

CREATE FUNCTION @together(
    plan smallint[], present text[], loads @load[], commits @commit[], parts @part[], endings @ending[],
    touches @touch[]
) RETURNS SETOF @line
LANGUAGE plpgsql AS $$
-- What is done gets the version of its place, in a line of code 15; touches and what is due then one of code 16. Where
-- something stood in the way, the function for one of its kind says what. All the sessions found are locked.
DECLARE
    numbers bigint[] := ARRAY(SELECT nextval('@number') FROM unnest(plan));
    at_places integer[];
    done integer[] := '{}';
    done_places integer[];
    dues double precision[];
    happened @event[] := '{}';
    places integer[] := '{}';
    more_events @event[];
    more_places integer[];
    outcome @outcome;
    line @line;
BEGIN
    IF cardinality(loads) > 0 THEN
        RETURN QUERY SELECT f.* FROM unnest(array_positions(plan, 1::smallint), loads) AS o(place, keys, under, beyond),
            LATERAL @load(o.place, ROW(o.keys, o.under, o.beyond)::@load) AS f;
    END IF;
    IF cardinality(commits) > 0 THEN
        at_places := array_positions(plan, 2::smallint);
        WITH asked AS (
            SELECT * FROM unnest(at_places, commits, parts) AS o(
                place, at, change, by_node, several, limits, lease, ticket, token, again, item, id, guard, version, session,
                fields, data, event, reason, owner, expires
            )
            WHERE o.guard = 1 AND o.id <> ALL (present)
        ), opened AS (
            INSERT INTO @sessions SELECT
                (n.session).id, (n.session).kind, (n.session).owner, (n.session).node, (n.session).state,
                numbers[n.place], (n.session).change, (n.session).opened, (n.session).touched, (n.session)."window",
                (n.session).reach, (n.session).absolute, (n.session).due, (n.session).ended, (n.session).reason,
                (n.session).keep, (n.session).finish, (n.session).stopped, (n.session).data, (n.session).due,
                @rank((n.session).state, (n.session).opened, (n.session).ended, (n.session).keep, (n.session).finish)
            FROM asked AS n
        )
        SELECT array_agg(n.place), array_agg(n.place) FILTER (WHERE n.event IS NOT NULL), array_agg(
            ROW(n.event, n.at, n.id, (n.session).kind, (n.session).owner, numbers[n.place], n.reason, n.change,
                n.by_node)::@event
        ) FILTER (WHERE n.event IS NOT NULL)
        INTO done_places, more_places, more_events FROM asked AS n;
        done := done || done_places;
        places := places || more_places;
        happened := happened || more_events;
        IF cardinality(done) < cardinality(commits) THEN
            WITH changed AS (
                UPDATE @sessions AS s
                SET version = numbers[n.place], change = n.change, data = coalesce(n.data, s.data)
                FROM unnest(at_places, commits, parts) AS n(
                    place, at, change, by_node, several, limits, lease, ticket, token, again, item, id, guard, version,
                    session, fields, data, event, reason, owner, expires
                )
                WHERE s.id = n.id AND s.state < 1 AND s.due > n.at AND s.change <> n.change
                    AND (n.guard = 3 OR n.guard = 2 AND s.version = n.version)
                RETURNING n.place, ROW(n.event, n.at, s.id, s.kind, s.owner, s.version, n.reason, n.change, n.by_node)::@event
                    AS event, n.event IS NOT NULL AS told
            )
            SELECT array_agg(n.place), array_agg(n.place) FILTER (WHERE n.told),
                array_agg(n.event) FILTER (WHERE n.told)
            INTO done_places, more_places, more_events FROM changed AS n;
            done := done || done_places;
            places := places || more_places;
            happened := happened || more_events;
        END IF;
        IF cardinality(done) < cardinality(commits) THEN
            FOR n IN 1 .. cardinality(commits) LOOP
                CONTINUE WHEN at_places[n] = ANY (done);
                outcome := @commit_one(commits[n], parts[n], NULL);
                line := outcome.line;
                line.place := at_places[n];
                RETURN NEXT line;
                places := places || array_fill(line.place, ARRAY[coalesce(cardinality(outcome.events), 0)]);
                happened := happened || outcome.events;
            END LOOP;
        END IF;
    END IF;
    IF cardinality(touches) > 0 THEN
        at_places := array_positions(plan, 4::smallint);
        WITH touched AS (
            UPDATE @sessions AS s
            SET touched = n.at, due = greatest(least(n.at + s.reach, s.absolute), s.due)
            FROM unnest(at_places, touches) AS n(place, id, at, "window", before)
            WHERE s.id = n.id AND s.state < 1 AND s.due > n.at AND s.opened < n.before
                AND n.at - s.touched > n."window"
            RETURNING n.place, s.due
        )
        SELECT coalesce(array_agg(n.place), '{}'), array_agg(n.due) INTO done_places, dues FROM touched AS n;
        line := NULL;
        line.place := 0;
        line.code := 16;
        line.numbers := done_places;
        line.moments := dues;
        RETURN NEXT line;
        IF cardinality(done_places) < cardinality(touches) THEN
            FOR n IN 1 .. cardinality(touches) LOOP
                CONTINUE WHEN at_places[n] = ANY (done_places);
                line := @touch(touches[n]);
                line.place := at_places[n];
                RETURN NEXT line;
            END LOOP;
        END IF;
    END IF;
    IF cardinality(endings) > 0 THEN
        at_places := array_positions(plan, 3::smallint);
        WITH ended AS (
            UPDATE @sessions AS s
            SET state = n.state, version = numbers[n.place], change = n.change, ended = n.at, reason = n.reason,
                rank = @rank(n.state, s.opened, n.at, s.keep, s.finish)
            FROM unnest(at_places, endings) AS n(
                place, pick, id, kind, most, before, at, state, reason, due, change, by_node
            )
            WHERE s.id = n.id AND s.state < 1 AND (s.due <= n.at) = n.due AND s.opened < n.before
                AND s.change <> n.change
            RETURNING n.place, ROW(
                (ARRAY['interrupted', 'expired', 'closed'])[n.state], n.at, s.id, s.kind, s.owner, s.version, n.reason,
                n.change, n.by_node
            )::@event AS event
        )
        SELECT coalesce(array_agg(n.place), '{}'), array_agg(n.event) INTO done_places, more_events FROM ended AS n;
        done := done || done_places;
        places := places || done_places;
        happened := happened || more_events;
        IF cardinality(done_places) < cardinality(endings) THEN
            FOR n IN 1 .. cardinality(endings) LOOP
                CONTINUE WHEN at_places[n] = ANY (done_places);
                outcome := @end_by_id(endings[n]);
                line := outcome.line;
                line.place := at_places[n];
                RETURN NEXT line;
                places := places || array_fill(line.place, ARRAY[coalesce(cardinality(outcome.events), 0)]);
                happened := happened || outcome.events;
            END LOOP;
        END IF;
    END IF;
    line := NULL;
    line.place := 0;
    line.code := 15;
    line.numbers := numbers;
    RETURN NEXT line;
    IF cardinality(happened) > 0 THEN
        PERFORM @log(ARRAY(
            SELECT ROW(h.type, h.time, h.id, h.kind, h.owner, h.version, h.reason, h.change, h.node)::@event
            FROM unnest(happened, places) WITH ORDINALITY
                AS h(type, time, id, kind, owner, version, reason, change, node, place, n)
            ORDER BY h.place, h.n
        ), false);
        line := NULL;
        line.place := 0;
        line.code := 14;
        line.names := ARRAY(SELECT DISTINCT h.type FROM unnest(happened) AS h);
        line.more := false;
        RETURN NEXT line;
    END IF;
END $$;
