-- What crashed most in the last seven days of the table, on how many guests, and who has it.
-- A part that two hosts compacted at the same time may have a row twice: the ids are counted.
SELECT signature,
       max(title)                AS title,
       count(DISTINCT id)        AS crashes,
       count(DISTINCT guest)     AS guests,
       count(DISTINCT host)      AS hosts,
       min(time)                 AS first,
       max(time)                 AS last
FROM crashes
WHERE signature IS NOT NULL
  AND NOT coalesce(weak, true)
  AND time >= (SELECT max(time) FROM crashes) - INTERVAL '7' DAY
GROUP BY signature
ORDER BY crashes DESC, signature
LIMIT 20;
