-- What the planner knows, and what it makes of it: estimates against the truth, and the plans that
-- hang on them. Ranges, and plans without statistics, are explain.sql's.
SELECT topic('plan') AS t, topic('plan.wide') AS wide \gset
SELECT kafka_create_topic(:'t', 4, config => '{"retention.ms": -1}'), kafka_create_topic(:'wide', 1);
SET TimeZone = 'UTC';
CREATE FOREIGN TABLE pl (partition int, "offset" bigint, "timestamp" timestamptz, key text, value text)
    SERVER kafka OPTIONS (topic :'t');
-- A message each second. Partition 0 has half of them; the others share the rest.
INSERT INTO pl (partition, "timestamp", key, value)
    SELECT CASE g % 6 WHEN 0 THEN 1 WHEN 1 THEN 2 WHEN 2 THEN 3 ELSE 0 END,
           '2026-01-01 00:00:00+00'::timestamptz + g * interval '1 s', 'k' || g % 100, 'v' || g
    FROM generate_series(1, 24000) g;

CREATE FUNCTION estimate(condition text, OUT rows numeric, OUT cost numeric) LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT * FROM pl WHERE ' || condition INTO plan;
    rows := plan #>> '{0,Plan,Plan Rows}';
    cost := plan #>> '{0,Plan,Total Cost}';
END $$;
CREATE FUNCTION truth(condition text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    result numeric;
BEGIN
    EXECUTE 'SELECT count(*) FROM pl WHERE ' || condition INTO result;
    RETURN result;
END $$;
CREATE TABLE shapes (n serial, condition text, rows numeric);
INSERT INTO shapes (condition) VALUES
    ('true'),
    ('partition = 0'), ('partition = 3'), ('partition IN (1, 2)'), ('partition >= 1'), ('partition = 9'),
    ('"offset" < 100'), ('"offset" < 3000'), ('"offset" >= 3900'), ('"offset" >= 6000'),
    ('"offset" BETWEEN 1000 AND 1999'), ('"offset" = 500'), ('"offset" IN (1, 10, 100)'),
    ('partition = 0 AND "offset" >= 11000'), ('partition = 1 AND "offset" BETWEEN 100 AND 149'),
    ('partition = 2 AND "offset" = 77'),
    ('partition = 0 AND "offset" < 50 OR partition = 1 AND "offset" < 100'),
    ('(partition, "offset") >= (1, 2000)'),
    ('"timestamp" >= ''2026-01-01 06:00+00'''), ('"timestamp" < ''2026-01-01 00:30+00'''),
    ('"timestamp" BETWEEN ''2026-01-01 02:00+00'' AND ''2026-01-01 02:10+00'''),
    ('"timestamp" >= ''2026-01-01 03:20+00'' AND partition = 0 AND "offset" >= 6000'),
    ('"timestamp" >= ''2026-01-01 06:00+00''::timestamptz - interval ''1 hour'''),
    ('"timestamp" > now()'), ('"timestamp" > now() - interval ''1000 years'''),
    ('key = ''k7'''), ('key = ''k7'' AND partition = 0 AND "offset" < 6000'),
    ('"offset" < 0'), ('"offset" >= 100000'), ('"timestamp" < ''2025-01-01 00:00+00''');
UPDATE shapes SET rows = truth(condition);

-- How far an estimate is from the truth, as a factor. Less than a row counts as one, and of what is
-- not there up to 30 rows in 24,000 may be expected.
CREATE FUNCTION factor(shapes) RETURNS numeric LANGUAGE sql AS $$
    SELECT round(greatest(greatest(e.rows, 1) / greatest($1.rows, 1),
                          greatest($1.rows, 1) / greatest(e.rows, 1)), 1)
    FROM estimate($1.condition) e WHERE NOT ($1.rows = 0 AND e.rows <= 30) $$;

----------------------------------------------------------------------
-- Without statistics
----------------------------------------------------------------------

SELECT (estimate('true')).rows, (estimate('partition = 1')).rows, (estimate('partition = 1 AND "offset" < 100')).rows;
ALTER FOREIGN TABLE pl OPTIONS (ADD num_partitions '4');
SELECT (estimate('true')).rows, (estimate('partition = 1')).rows, (estimate('partition = 9')).rows, (estimate('"offset" < 100')).rows;
-- To read less costs less, and so does to make less of it.
SELECT condition FROM shapes WHERE (estimate(condition)).cost > (estimate('true')).cost * 1.5;

----------------------------------------------------------------------
-- With ANALYZE
----------------------------------------------------------------------

ANALYZE pl;
SELECT condition, rows, (estimate(condition)).rows AS estimated, factor(shapes)
FROM shapes WHERE coalesce(factor(shapes), 1) > 1.5 ORDER BY n;
-- From a sample of it.
SET default_statistics_target = 5;
ANALYZE pl;
SELECT condition, rows FROM shapes WHERE coalesce(factor(shapes), 1) > 4 ORDER BY n;
RESET default_statistics_target;
-- From the number of rows alone, as where columns have no statistics.
ALTER FOREIGN TABLE pl ALTER "offset" SET STATISTICS 0, ALTER partition SET STATISTICS 0,
    ALTER "timestamp" SET STATISTICS 0;
DELETE FROM pg_statistic WHERE starelid = 'pl'::regclass;
ANALYZE pl;
SELECT (estimate('true')).rows, (estimate('partition = 1')).rows, (estimate('"offset" < 100')).rows;
ALTER FOREIGN TABLE pl ALTER "offset" SET STATISTICS -1, ALTER partition SET STATISTICS -1,
    ALTER "timestamp" SET STATISTICS -1;
ANALYZE pl;

-- An upper bound on the timestamp is a filter: the topic is read from its lower one to the end.
CREATE FUNCTION share_of_cost(condition text) RETURNS numeric LANGUAGE sql
    AS $$ SELECT round((estimate(condition)).cost / (estimate('true')).cost, 1) $$;
SELECT share_of_cost('"timestamp" < ''2026-01-01 00:10+00'''),
       share_of_cost('"timestamp" >= ''2026-01-01 06:30+00'''),
       share_of_cost('"timestamp" BETWEEN ''2026-01-01 00:00+00'' AND ''2026-01-01 00:10+00''');
PREPARE before(timestamptz) AS SELECT * FROM pl WHERE "timestamp" < $1;
CREATE FUNCTION cost_of(statement text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || statement INTO plan;
    RETURN plan #>> '{0,Plan,Total Cost}';
END $$;
SET plan_cache_mode = force_generic_plan;
SELECT round(cost_of('EXECUTE before(now())') / (estimate('true')).cost, 1);
RESET plan_cache_mode;
ALTER FOREIGN TABLE pl OPTIONS (ADD timestamp_ordered 'true');
SELECT share_of_cost('"timestamp" < ''2026-01-01 00:10+00'''),
       share_of_cost('"timestamp" BETWEEN ''2026-01-01 00:00+00'' AND ''2026-01-01 00:10+00''');
ALTER FOREIGN TABLE pl OPTIONS (DROP timestamp_ordered);

-- The topic grows. What begins before the end that ANALYZE saw ends there; what begins beyond it
-- counts as if the topic had gone on as before, but as a tenth of it at most.
SELECT (estimate('"offset" BETWEEN 12000 AND 12099')).rows, (estimate('partition = 0 AND "offset" BETWEEN 11990 AND 12009')).rows,
       (estimate('"offset" > 13000')).rows, (estimate('"timestamp" > ''2026-01-01 06:40+00''')).rows,
       (estimate('"timestamp" BETWEEN ''2026-01-01 06:41+00'' AND ''2026-01-01 06:50+00''')).rows,
       (estimate('"timestamp" > ''2026-01-02 00:00+00''')).rows;

----------------------------------------------------------------------
-- By asking Kafka
----------------------------------------------------------------------

INSERT INTO pl (partition, key, value) SELECT 3, 'k' || g % 100, 'w' || g FROM generate_series(1, 4000) g;
SELECT (estimate('partition = 3')).rows, (estimate('true')).rows;
ALTER FOREIGN TABLE pl OPTIONS (ADD use_remote_estimate 'true');
SELECT (estimate('partition = 3')).rows, (estimate('true')).rows,
       (estimate('partition = 3 AND "offset" >= 7000')).rows, (estimate('"offset" >= 7900')).rows,
       (estimate('partition = 9')).rows;
ALTER FOREIGN TABLE pl OPTIONS (ADD start_offset '-1000', ADD end_offset '{"0": 11500}');
SELECT (estimate('true')).rows;
ALTER FOREIGN TABLE pl OPTIONS (DROP start_offset, DROP end_offset, SET use_remote_estimate 'false');

----------------------------------------------------------------------
-- Costs
----------------------------------------------------------------------

-- What is not made costs nothing, text little, what has to be parsed more.
CREATE FOREIGN TABLE pl_jsonb (value jsonb) SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE pl_text (value text) SERVER kafka OPTIONS (topic :'t');
SELECT c1 < c2 AND c2 < c3 AND c3 < 2 * c1 AS in_order
FROM cost_of('SELECT FROM pl_text') c1, cost_of('SELECT value FROM pl_text') c2,
     cost_of('SELECT value FROM pl_jsonb') c3;
-- Bytes cost, too: ANALYZE knows how many there are.
CREATE FOREIGN TABLE pl_wide (value text) SERVER kafka OPTIONS (topic :'wide');
INSERT INTO pl_wide SELECT repeat('x', 2000) FROM generate_series(1, 1000);
ANALYZE pl_wide, pl_text;
SELECT (cost_of('SELECT value FROM pl_wide') - 50) / 1000 >
       3 * (cost_of('SELECT value FROM pl_text') - 50) / 28000 AS wider;

----------------------------------------------------------------------
-- Plans
----------------------------------------------------------------------

ANALYZE pl;
CREATE FUNCTION nodes(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
        IF line !~ 'Filter|Cond|Kafka Topic' THEN
            -- PostgreSQL 17 does not say what it returns.
            RETURN NEXT regexp_replace(line, '(InitPlan \d+) \(returns .*\)', '\1');
        END IF;
    END LOOP;
END $$;
CREATE TABLE few AS SELECT g % 4 AS p, g * 100 AS o, 'v' || g AS v FROM generate_series(1, 5) g;
CREATE TABLE many AS SELECT g % 4 AS p, g AS o, 'v' || g AS v FROM generate_series(1, 100000) g;
ANALYZE few, many;
SET enable_memoize = off;
SET enable_mergejoin = off;
SET max_parallel_workers_per_gather = 0;
-- A few offsets are looked up one by one, also of all partitions; many are not.
SELECT nodes($$SELECT * FROM few JOIN pl ON partition = p AND "offset" = o$$);
SELECT nodes($$SELECT * FROM few JOIN pl ON "offset" = o$$);
SELECT nodes($$SELECT * FROM many JOIN pl ON partition = p AND "offset" = o$$);
-- The smaller side is hashed: the topic against a larger table, a piece of it against itself.
SELECT nodes($$SELECT * FROM many JOIN pl ON value = v$$);
SELECT nodes($$SELECT * FROM few JOIN pl ON value = v$$);
SELECT nodes($$SELECT * FROM pl a JOIN pl b USING (value) WHERE a.partition = 1 AND a."offset" < 100$$);
SELECT nodes($$SELECT * FROM pl a JOIN pl b USING (value) WHERE b.partition = 1 AND b."offset" < 100$$);
-- The order of the offsets needs no Sort, one of anything else does.
SELECT nodes($$SELECT * FROM pl WHERE partition = 0 ORDER BY "offset" LIMIT 10$$);
SELECT nodes($$SELECT * FROM pl WHERE partition = 0 ORDER BY "offset" DESC LIMIT 10$$);
SELECT nodes($$SELECT * FROM pl WHERE partition = 0 AND key = 'k3' ORDER BY "offset" DESC LIMIT 1$$);
SELECT nodes($$SELECT max("offset") FROM pl WHERE partition = 0$$);
SELECT nodes($$SELECT * FROM pl WHERE partition = 0 ORDER BY key LIMIT 10$$);
SELECT nodes($$SELECT * FROM pl ORDER BY "offset" LIMIT 10$$);
SELECT nodes($$SELECT * FROM pl WHERE partition IN (0, 1) ORDER BY "offset" LIMIT 10$$);

DROP TABLE few, many, shapes CASCADE;
DROP FOREIGN TABLE pl, pl_jsonb, pl_text, pl_wide;
DROP FUNCTION estimate, truth, share_of_cost, cost_of, nodes;
SELECT kafka_delete_topic(:'t'), kafka_delete_topic(:'wide');
