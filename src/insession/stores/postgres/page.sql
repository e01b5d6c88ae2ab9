-- Some of the log, all of one moment: after a position ($1; NULL: the end, -1: the first that is still there), of these
-- types ($2; NULL: all), looking at so many positions ($3), so many events at most ($4).
SELECT s.epoch, s.first, s.position AS last, a.begin_at, least(a.begin_at + $3::bigint, s.position) AS reach, f.*
FROM @state AS s
CROSS JOIN LATERAL (
    SELECT CASE WHEN $1::bigint IS NULL THEN s.position WHEN $1 < 0 THEN s.first - 1 ELSE $1 END AS begin_at
) AS a
LEFT JOIN LATERAL (
    SELECT e.type, e.time, e.id, e.kind, e.owner, e.version, e.reason, e.change, e.node, e.position
    FROM @events AS e
    WHERE e.position > a.begin_at AND e.position <= least(a.begin_at + $3::bigint, s.position)
        AND ($2::text[] IS NULL OR e.type = ANY ($2))
    ORDER BY e.position LIMIT $4::integer
) AS f ON true
ORDER BY f.position
