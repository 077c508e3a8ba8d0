-- Signatures that were seen for the first time on a kernel that was first seen in the last
-- fourteen days of the table: what a roll-out brought.
WITH flat AS (
    SELECT id, time, title, signature, weak, kernel.release AS release FROM crashes
),
kernels AS (
    SELECT release, min(time) AS rolled_out FROM flat WHERE release IS NOT NULL GROUP BY release
),
firsts AS (
    SELECT signature, min(time) AS first, max(title) AS title
    FROM flat
    WHERE signature IS NOT NULL AND NOT coalesce(weak, true)
    GROUP BY signature
)
SELECT kernels.release, kernels.rolled_out, firsts.signature, firsts.title, firsts.first,
       count(DISTINCT flat.id) AS crashes
FROM firsts
JOIN flat ON flat.signature = firsts.signature
JOIN kernels ON kernels.release = flat.release
WHERE kernels.rolled_out >= (SELECT max(time) FROM flat) - INTERVAL '14' DAY
  AND firsts.first >= kernels.rolled_out
GROUP BY kernels.release, kernels.rolled_out, firsts.signature, firsts.title, firsts.first
ORDER BY crashes DESC, firsts.signature, kernels.release;
