-- Modules that the crashes of a signature have loaded more often than crashes in general: lift is
-- how many times as often. Signatures with fewer than five crashes say nothing.
WITH loaded AS (
    SELECT DISTINCT signature, id, module.name AS module
    FROM (SELECT signature, id, unnest(modules) AS module FROM crashes WHERE signature IS NOT NULL) AS each
),
every AS (SELECT count(DISTINCT id) AS n FROM crashes WHERE signature IS NOT NULL),
by_signature AS (SELECT signature, count(DISTINCT id) AS n FROM crashes WHERE signature IS NOT NULL GROUP BY signature),
by_module AS (SELECT module, count(*) AS n FROM loaded GROUP BY module),
both_of AS (SELECT signature, module, count(*) AS n FROM loaded GROUP BY signature, module)
SELECT both_of.signature,
       both_of.module,
       both_of.n                                                   AS crashes,
       by_signature.n                                              AS of_crashes,
       round((both_of.n * 1.0 / by_signature.n) / (by_module.n * 1.0 / every.n), 2) AS lift
FROM both_of
JOIN by_signature ON by_signature.signature = both_of.signature
JOIN by_module ON by_module.module = both_of.module
CROSS JOIN every
WHERE by_signature.n >= 5
  AND (both_of.n * 1.0 / by_signature.n) / (by_module.n * 1.0 / every.n) >= 2
ORDER BY lift DESC, both_of.signature, both_of.module
LIMIT 50;
