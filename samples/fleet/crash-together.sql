-- Pairs of guests that crash within five minutes of each other, more than once: they may share a
-- host, a disk or a network.
WITH once AS (
    SELECT id, max(guest) AS guest, max(time) AS time
    FROM crashes
    WHERE guest IS NOT NULL
    GROUP BY id
)
SELECT one.guest                AS guest,
       other.guest              AS other,
       count(DISTINCT one.id)   AS times,
       max(one.time)            AS last
FROM once AS one
JOIN once AS other
  ON one.guest < other.guest
 AND other.time BETWEEN one.time - INTERVAL '5' MINUTE AND one.time + INTERVAL '5' MINUTE
GROUP BY one.guest, other.guest
HAVING count(DISTINCT one.id) > 1
ORDER BY times DESC, guest, other
LIMIT 50;
