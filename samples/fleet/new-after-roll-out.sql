-- Signatures that were seen for the first time on a kernel that was first seen in the last
-- fourteen days of the table: what a roll-out brought.
WITH kernels AS (
    SELECT kernel.release AS release, min(time) AS rolled_out
    FROM crashes
    WHERE kernel.release IS NOT NULL
    GROUP BY kernel.release
),
signatures AS (
    SELECT signature, min(time) AS first, max(title) AS title
    FROM crashes
    WHERE signature IS NOT NULL AND NOT coalesce(weak, true)
    GROUP BY signature
)
SELECT kernels.release,
       kernels.rolled_out,
       signatures.signature,
       signatures.title,
       signatures.first,
       count(DISTINCT crashes.id) AS crashes
FROM signatures
JOIN crashes ON crashes.signature = signatures.signature
JOIN kernels ON kernels.release = crashes.kernel.release
WHERE kernels.rolled_out >= (SELECT max(time) FROM crashes) - INTERVAL '14' DAY
  AND signatures.first >= kernels.rolled_out
GROUP BY kernels.release, kernels.rolled_out, signatures.signature, signatures.title, signatures.first
ORDER BY crashes DESC, signatures.signature, kernels.release;
