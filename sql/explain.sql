-- EXPLAIN contacts nobody: this server does not exist.
CREATE SERVER nowhere FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '127.0.0.1:1');
CREATE FOREIGN TABLE ex (partition int, "offset" bigint, "timestamp" timestamptz,
    key text, value text)
    SERVER nowhere OPTIONS (topic 'web_log');
SET TimeZone = 'UTC';
CREATE FUNCTION ranges(condition text DEFAULT 'true') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT * FROM ex WHERE ' || condition INTO plan;
    RETURN jsonb_path_query_first(plan, 'strict $.**."Kafka Ranges"') #>> '{}';
END $$;

-- The lines of a plan that are ours.
CREATE FUNCTION plan(condition text, format text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    plan text;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT %s) SELECT * FROM ex WHERE %s', format, condition) INTO plan;
    RETURN QUERY SELECT trim(line) FROM regexp_split_to_table(plan, '\n') line
    WHERE line ~ 'Kafka';
END $$;

-- In every format.
EXPLAIN (COSTS OFF) SELECT * FROM ex;
EXPLAIN (COSTS OFF, VERBOSE) SELECT value FROM ex
    WHERE partition = 0 AND "offset" >= 100 AND "offset" < 200;
SELECT plan('partition = 0 AND "offset" BETWEEN 100 AND 199', 'JSON');
SELECT plan('partition IN (0, 2)', 'YAML');
SELECT plan('"offset" < 5', 'XML');
-- The table's name is the default for its topic's.
CREATE FOREIGN TABLE "Web.Log" (value text) SERVER nowhere;
EXPLAIN (COSTS OFF) SELECT * FROM "Web.Log";
DROP FOREIGN TABLE "Web.Log";

-- Ranges of numbers.
SELECT ranges('partition = 3');
SELECT ranges('partition >= 3');
SELECT ranges('partition < 3');
SELECT ranges('partition BETWEEN 2 AND 4');
SELECT ranges('partition IN (1, 2, 5)');
SELECT ranges('partition <> 3');
SELECT ranges('"offset" >= 100');
SELECT ranges('"offset" < 100');
SELECT ranges('"offset" IN (1, 2, 3, 7, 9)');
SELECT ranges('(partition = 0 AND "offset" >= 100) OR (partition = 1 AND "offset" < 10)');
SELECT ranges('(partition, "offset") >= (1, 100)');
SELECT ranges('"offset" < 0');
SELECT ranges('"offset" < 10 AND "offset" > 10');
-- Many of them are counted.
SELECT ranges('"offset" IN (' || string_agg((g * 2)::text, ', ') || ')')
    FROM generate_series(1, 30) g;
SELECT ranges('"offset" IN (' || string_agg((g * 2)::text, ', ') || ')')
    FROM generate_series(1, 12000) g;

-- Parameters, in the words of the statement.
SET plan_cache_mode = force_generic_plan;
PREPARE one(int, bigint, bigint) AS
    SELECT * FROM ex WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3;
EXPLAIN (COSTS OFF) EXECUTE one(1, 2, 3);
PREPARE two(int, bigint) AS SELECT * FROM ex WHERE partition > $1 AND "offset" = $2 + 1;
EXPLAIN (COSTS OFF) EXECUTE two(1, 2);
PREPARE three(int[], bigint) AS SELECT * FROM ex
    WHERE partition = ANY ($1) AND "offset" <= $2 AND "offset" <= 1000;
EXPLAIN (COSTS OFF) EXECUTE three('{1}', 2);
PREPARE four(bigint) AS SELECT * FROM ex
    WHERE partition = 0 AND "offset" >= 5 OR partition = 1 AND "offset" > $1;
EXPLAIN (COSTS OFF) EXECUTE four(1);
PREPARE five(bigint, text) AS SELECT * FROM ex WHERE ($1 IS NULL OR "offset" >= $1) AND value = $2;
EXPLAIN (COSTS OFF) EXECUTE five(1, 'x');
PREPARE six(timestamptz) AS SELECT * FROM ex
    WHERE "timestamp" >= $1 AND "timestamp" < $1 + interval '1 day';
EXPLAIN (COSTS OFF) EXECUTE six('2026-01-01');
PREPARE seven(int, bigint) AS SELECT * FROM ex WHERE (partition, "offset") > ($1, $2);
EXPLAIN (COSTS OFF) EXECUTE seven(1, 2);
-- A plan made for the values at hand names those.
SET plan_cache_mode = force_custom_plan;
EXPLAIN (COSTS OFF) EXECUTE one(1, 2, 3);
RESET plan_cache_mode;
EXPLAIN (COSTS OFF) SELECT * FROM ex WHERE "timestamp" >= now() - interval '5 min';
EXPLAIN (COSTS OFF) SELECT * FROM ex WHERE "timestamp" >= '2026-03-01 12:00:00+00';

-- Where the table itself starts and ends.
ALTER FOREIGN TABLE ex OPTIONS (ADD start_offset '50');
SELECT ranges(), ranges('"offset" >= 100'), ranges('"offset" >= 10'), ranges('"offset" < 50');
ALTER FOREIGN TABLE ex OPTIONS (SET start_offset '-10');
SELECT ranges(), ranges('"offset" >= 100'), ranges('partition = 0');
ALTER FOREIGN TABLE ex OPTIONS (SET start_offset '@2026-01-01 00:00:00+00');
SELECT ranges(), ranges('"timestamp" >= ''2026-02-01 00:00:00+00''');
ALTER FOREIGN TABLE ex OPTIONS (SET start_offset '@-1h', ADD end_offset '700');
SELECT ranges(), ranges('"offset" < 600'), ranges('"offset" < 800');
ALTER FOREIGN TABLE ex OPTIONS (SET start_offset '{"0": 100, "2": "newest"}',
    SET end_offset '{"1": 5}');
SELECT ranges();
SELECT ranges('partition IN (0, 1)');
SELECT ranges('partition = 3 AND "offset" >= 7');
SELECT ranges('partition < 3');
SELECT ranges('"offset" < 90');
SET plan_cache_mode = force_generic_plan;
PREPARE eight(int) AS SELECT * FROM ex WHERE partition = $1;
EXPLAIN (COSTS OFF) EXECUTE eight(1);
RESET plan_cache_mode;
-- A tail: no end but one that is given.
ALTER FOREIGN TABLE ex OPTIONS (SET start_offset 'newest', DROP end_offset);
SELECT ranges(), ranges('partition = 1 AND "offset" < 500');
ALTER FOREIGN TABLE ex OPTIONS (ADD end_offset '1000');
SELECT ranges();
-- It cannot be read backwards.
EXPLAIN (COSTS OFF) SELECT * FROM ex WHERE partition = 1 ORDER BY "offset";
EXPLAIN (COSTS OFF) SELECT * FROM ex WHERE partition = 1 ORDER BY "offset" DESC;
ALTER FOREIGN TABLE ex OPTIONS (DROP start_offset, DROP end_offset);
-- Times bound the end only where the table says that they can be relied on.
SELECT ranges('"timestamp" < ''2026-02-01 00:00:00+00''');
ALTER FOREIGN TABLE ex OPTIONS (ADD timestamp_ordered 'true');
SELECT ranges('"timestamp" < ''2026-02-01 00:00:00+00''');
ALTER FOREIGN TABLE ex OPTIONS (DROP timestamp_ordered, ADD max_timestamp_skew '1min');
SELECT ranges('"timestamp" < ''2026-02-01 00:00:00+00''');
ALTER FOREIGN TABLE ex OPTIONS (DROP max_timestamp_skew);

-- Columns under other names, and of other types.
CREATE FOREIGN TABLE ex_named (p smallint OPTIONS (partition 'true'),
                               o bigint OPTIONS ("offset" 'true'),
                               v text OPTIONS (value 'true'))
    SERVER nowhere OPTIONS (topic 'web_log');
EXPLAIN (COSTS OFF) SELECT * FROM ex_named WHERE p = 1 AND o > 5 ORDER BY o DESC;
CREATE DOMAIN log_position AS bigint CHECK (value >= 0);
ALTER FOREIGN TABLE ex_named ALTER o TYPE log_position;
EXPLAIN (COSTS OFF) SELECT * FROM ex_named WHERE p = 1 AND o > 5;
-- Inherited, in a union, under a view.
CREATE TABLE ex_parent (partition int, "offset" bigint, "timestamp" timestamptz,
    key text, value text);
ALTER FOREIGN TABLE ex INHERIT ex_parent;
EXPLAIN (COSTS OFF) SELECT * FROM ex_parent WHERE partition = 1 AND "offset" > 5;
ALTER FOREIGN TABLE ex NO INHERIT ex_parent;
CREATE VIEW ex_view AS SELECT partition AS part, "offset" AS o, value FROM ex WHERE partition < 5;
EXPLAIN (COSTS OFF) SELECT * FROM ex_view WHERE part > 2 AND o = 7;
EXPLAIN (COSTS OFF)
    SELECT * FROM (SELECT part, o FROM ex_view UNION ALL SELECT p, o FROM ex_named) x WHERE o = 7;

-- Rows are estimated from the conditions where they say it.
CREATE FUNCTION estimate(condition text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT * FROM ex WHERE ' || condition INTO plan;
    RETURN plan #>> '{0,Plan,Plan Rows}';
END $$;
SELECT estimate('partition = 0 AND "offset" >= 100 AND "offset" < 200');
SELECT estimate('partition IN (0, 1) AND "offset" < 50');
SELECT estimate('partition = 0 AND "offset" = 7');
SELECT estimate('true') > estimate('"offset" > 1000000') AS fewer;
-- The scan is repeated for a few rows, and done once for many.
CREATE TABLE few AS SELECT g % 4 AS p, g AS o FROM generate_series(1, 10) g;
CREATE TABLE many AS SELECT g % 4 AS p, g AS o FROM generate_series(1, 100000) g;
ANALYZE few, many;
SET enable_memoize = off;
CREATE FUNCTION nodes(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
        IF line !~ 'Filter|Cond' THEN
            RETURN NEXT line;
        END IF;
    END LOOP;
END $$;
SELECT nodes($$SELECT * FROM few JOIN ex ON partition = p AND "offset" = o$$);
SELECT nodes($$SELECT * FROM many JOIN ex ON partition = p AND "offset" = o$$);
RESET enable_memoize;
-- EXPLAIN does not need USAGE on the server, nor a user mapping.
CREATE ROLE regress_kafka_explain;
GRANT SELECT ON ex TO regress_kafka_explain;
SET ROLE regress_kafka_explain;
EXPLAIN (COSTS OFF) SELECT * FROM ex;
RESET ROLE;

DROP VIEW ex_view;
DROP TABLE ex_parent, few, many;
DROP FOREIGN TABLE ex, ex_named;
DROP DOMAIN log_position;
DROP SERVER nowhere;
DROP FUNCTION ranges, plan, estimate, nodes;
DROP ROLE regress_kafka_explain;
