-- What WHERE says about partition, offset and timestamp is read, and nothing else. Each condition
-- is shown with the ranges that EXPLAIN names, those that were read in fact, the number of rows,
-- and whether they are the rows that a local copy of the topic gives.
SELECT topic('pushdown') AS t \gset
-- Its timestamps lie in the past: retention would take the messages away.
SELECT kafka_create_topic(:'t', 3, config => '{"retention.ms": "-1"}');
-- Six messages in each partition, a second apart, from noon on.
SELECT count(kafka_send(:'t', p || '-' || o, key => 'k' || o, partition => p,
                        "timestamp" => '2026-03-01 12:00:00+00'::timestamptz + o * interval '1 s'))
    FROM generate_series(0, 2) p, generate_series(0, 5) o;
CREATE FOREIGN TABLE pd (partition int, "offset" bigint, "timestamp" timestamptz, key text,
                         value text)
    SERVER kafka OPTIONS (topic :'t');
CREATE TABLE pd_copy AS SELECT * FROM pd;
SELECT partition, count(*), min("offset"), max("offset"), max(value) FROM pd_copy
    GROUP BY partition ORDER BY partition;

-- A property of every scan in a statement's plan.
CREATE FUNCTION plan_says(statement text, what text, options text DEFAULT '') RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE format('EXPLAIN (COSTS OFF, FORMAT JSON%s) %s', options, statement) INTO plan;
    RETURN (SELECT string_agg(v #>> '{}', '; ')
            FROM jsonb_path_query(plan, ('strict $.**."' || what || '"')::jsonpath) v);
END $$;
-- The whole plan, free of the run's names.
CREATE FUNCTION plan(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
        IF line !~ 'Kafka Topic' THEN
            RETURN NEXT line;
        END IF;
    END LOOP;
END $$;
CREATE FUNCTION pushed(condition text, OUT planned text, OUT read text, OUT rows bigint,
                       OUT same boolean) LANGUAGE plpgsql AS $$
DECLARE
    query text := 'SELECT * FROM pd WHERE ' || condition;
    copy text := 'SELECT * FROM pd_copy WHERE ' || condition;
BEGIN
    planned := plan_says(query, 'Kafka Ranges');
    read := plan_says(query, 'Kafka Ranges Read', ', ANALYZE, TIMING OFF, SUMMARY OFF');
    EXECUTE format('SELECT count(*) FROM (%s) x', query) INTO rows;
    EXECUTE format('SELECT NOT EXISTS ((%1$s) EXCEPT ALL (%2$s))
                       AND NOT EXISTS ((%2$s) EXCEPT ALL (%1$s))', query, copy) INTO same;
END $$;

-- Comparisons, either way round.
SELECT * FROM pushed($$true$$);
SELECT * FROM pushed($$partition = 1$$);
SELECT * FROM pushed($$1 = partition$$);
SELECT * FROM pushed($$partition < 2$$);
SELECT * FROM pushed($$2 > partition$$);
SELECT * FROM pushed($$partition <= 1$$);
SELECT * FROM pushed($$partition > 1$$);
SELECT * FROM pushed($$partition >= 1$$);
SELECT * FROM pushed($$partition <> 1$$);
SELECT * FROM pushed($$"offset" = 3$$);
SELECT * FROM pushed($$"offset" < 2$$);
SELECT * FROM pushed($$"offset" <= 2$$);
SELECT * FROM pushed($$"offset" > 4$$);
SELECT * FROM pushed($$4 < "offset"$$);
SELECT * FROM pushed($$"offset" >= 4$$);
SELECT * FROM pushed($$4 <= "offset"$$);
SELECT * FROM pushed($$"offset" BETWEEN 2 AND 3$$);
SELECT * FROM pushed($$"offset" NOT BETWEEN 1 AND 4$$);
SELECT * FROM pushed($$"offset" BETWEEN SYMMETRIC 3 AND 2$$);
SELECT * FROM pushed($$partition = 0 AND "offset" >= 2 AND "offset" < 4$$);
SELECT * FROM pushed($$partition BETWEEN 1 AND 2 AND "offset" = 5$$);

-- Nothing can match.
SELECT rows, same FROM pushed($$partition = 1 AND partition = 2$$);
SELECT * FROM pushed($$"offset" > 3 AND "offset" < 2$$);
SELECT * FROM pushed($$"offset" < 0$$);
SELECT * FROM pushed($$partition < 0$$);
SELECT * FROM pushed($$"offset" IS NULL$$);
SELECT read, rows, same FROM pushed($$"offset" > (SELECT NULL::bigint)$$);
SELECT * FROM pushed($$partition = ANY (NULL::int[])$$);
SELECT * FROM pushed($$partition = ANY (ARRAY[NULL]::int[])$$);
SELECT * FROM pushed($$partition = 7$$);
SELECT * FROM pushed($$"offset" = 1000000$$);

-- Lists.
SELECT * FROM pushed($$partition IN (0, 2)$$);
SELECT * FROM pushed($$partition IN (2, 0, 2, NULL)$$);
SELECT * FROM pushed($$partition NOT IN (0, 2)$$);
SELECT * FROM pushed($$partition NOT IN (0, NULL)$$);
SELECT * FROM pushed($$"offset" IN (1, 3, 4)$$);
SELECT * FROM pushed($$"offset" = ANY ('{5,0,NULL,1}')$$);
SELECT * FROM pushed($$"offset" > ANY ('{4,3}')$$);
SELECT * FROM pushed($$"offset" > ALL ('{4,3}')$$);
SELECT * FROM pushed($$"offset" >= ALL ('{}')$$);
SELECT * FROM pushed($$"offset" >= ANY ('{}')$$);
SELECT * FROM pushed($$"offset" <= ALL ('{4,NULL}')$$);
SELECT * FROM pushed($$"offset" NOT IN (1, 2)$$);
SELECT * FROM pushed($$"offset" = ANY (ARRAY[1, 2] || ARRAY[5])$$);
SELECT * FROM pushed($$"offset" = ANY ('{{1,2},{3,4}}'::bigint[])$$);

-- AND and OR, nested; NOT.
SELECT * FROM pushed($$(partition = 0 AND "offset" < 2) OR (partition = 2 AND "offset" > 3)$$);
SELECT * FROM pushed($$(partition = 0 OR partition = 1) AND ("offset" < 1 OR "offset" > 4)$$);
SELECT * FROM pushed($$partition = 0 OR (partition = 1 AND ("offset" = 0 OR "offset" = 5))$$);
SELECT * FROM pushed($$NOT (partition = 0 OR "offset" > 1)$$);
SELECT * FROM pushed($$NOT (partition <> 0 OR NOT "offset" > 1)$$);
SELECT * FROM pushed($$(partition = 0 AND "offset" < 3) OR (partition = 0 AND "offset" >= 2)$$);
SELECT * FROM pushed($$("offset" > 3) IS TRUE AND partition = 1$$);

-- What is not understood is filtered: all of an OR, its part of an AND.
SELECT * FROM pushed($$partition = 0 OR key = 'k1'$$);
SELECT * FROM pushed($$partition = 0 AND key = 'k1'$$);
SELECT * FROM pushed($$(partition = 0 AND key = 'k1') OR partition = 2$$);
SELECT * FROM pushed($$partition + 0 = 1$$);
SELECT * FROM pushed($$"offset" % 2 = 0 AND "offset" < 4$$);
SELECT * FROM pushed($$"offset" = partition$$);
SELECT * FROM pushed($$"offset" > partition + 2$$);
SELECT * FROM pushed($$("offset" > 3) IS NOT TRUE$$);
SELECT * FROM pushed($$"offset" IS DISTINCT FROM 3$$);
SELECT * FROM pushed($$"offset" IS NOT NULL$$);
SELECT * FROM pushed($$CASE WHEN partition = 0 THEN "offset" = 1 ELSE "offset" = 2 END$$);
-- A volatile function may give another value for each row.
SELECT plan_says($$SELECT * FROM pd WHERE "offset" >= (random() * 0)::int$$, 'Kafka Ranges');

-- Rows compare by their first difference.
SELECT * FROM pushed($$(partition, "offset") = (1, 2)$$);
SELECT * FROM pushed($$(partition, "offset") > (1, 2)$$);
SELECT * FROM pushed($$(partition, "offset") >= (1, 2)$$);
SELECT * FROM pushed($$(partition, "offset") < (1, 2)$$);
SELECT * FROM pushed($$(partition, "offset") <= (1, 2)$$);
SELECT * FROM pushed($$(1, 2) <= (partition, "offset")$$);
SELECT * FROM pushed($$("offset", partition) > (4, 0)$$);
SELECT * FROM pushed($$(partition, 3) < (1, "offset")$$);
SELECT * FROM pushed($$NOT (partition, "offset") > (1, 2)$$);
SELECT * FROM pushed($$(partition, key) > (1, 'k3')$$);
SELECT * FROM pushed($$(partition, "offset", key) <= (1, 3, 'k2')$$);
SELECT * FROM pushed($$(key, partition) > ('k3', 1)$$);
SELECT * FROM pushed($$(partition, "offset") > (1, NULL)$$);
SELECT * FROM pushed($$(partition, "offset") > (NULL, 1)$$);
SELECT * FROM pushed($$(partition, "offset") IN ((0, 1), (2, 3))$$);

-- Types of another width, and their limits.
SELECT * FROM pushed($$partition = 1::smallint$$);
SELECT * FROM pushed($$partition = 1::bigint$$);
SELECT * FROM pushed($$partition::bigint = 1$$);
SELECT * FROM pushed($$"offset" < 2::smallint$$);
SELECT * FROM pushed($$2::int > "offset"$$);
SELECT * FROM pushed($$partition IN (1, 5000000000)$$);
SELECT * FROM pushed($$partition < 5000000000$$);
SELECT * FROM pushed($$"offset" = 9223372036854775807$$);
SELECT * FROM pushed($$"offset" > 9223372036854775807$$);
SELECT * FROM pushed($$"offset" >= 9223372036854775807$$);
SELECT * FROM pushed($$"offset" < 9223372036854775807$$);
SELECT * FROM pushed($$"offset" <= 9223372036854775807$$);
SELECT * FROM pushed($$"offset" >= (-9223372036854775808)::bigint$$);
SELECT * FROM pushed($$"offset" < (-9223372036854775808)::bigint$$);
SELECT * FROM pushed($$"offset" <= (-9223372036854775808)::bigint$$);
SELECT * FROM pushed($$"offset" >= 0.4e1$$);
SELECT * FROM pushed($$"offset" > 3.5$$);
SELECT * FROM pushed($$"offset" <= 3.5$$);
SELECT * FROM pushed($$"offset" = 2.0$$);
SELECT * FROM pushed($$"offset" = 2.5$$);
SELECT * FROM pushed($$"offset" IN (1, 2.5, 4.0)$$);
SELECT * FROM pushed($$partition <> 1.5 AND partition <> 2.0$$);
SELECT * FROM pushed($$"offset" < 1e30 AND "offset" > -1e30$$);
SELECT * FROM pushed($$"offset" >= 1e30$$);
SELECT * FROM pushed($$"offset" > 'NaN'::numeric$$);
SELECT * FROM pushed($$"offset" < 'infinity'::numeric AND "offset" > 4.00$$);
SELECT * FROM pushed($$"offset" > 4::float8$$);

-- Times: the lower bound, by the broker's index. The upper one is a filter.
SET TimeZone = 'UTC';
SELECT * FROM pushed($$"timestamp" >= '2026-03-01 12:00:03+00'$$);
SELECT * FROM pushed($$"timestamp" > '2026-03-01 12:00:03+00'$$);
SELECT * FROM pushed($$'2026-03-01 12:00:03+00' < "timestamp"$$);
SELECT * FROM pushed($$"timestamp" = '2026-03-01 12:00:03+00'$$);
SELECT * FROM pushed($$"timestamp" BETWEEN '2026-03-01 12:00:02+00'
    AND '2026-03-01 12:00:03+00'$$);
SELECT * FROM pushed($$"timestamp" < '2026-03-01 12:00:03+00'$$);
SELECT * FROM pushed($$"timestamp" > '2026-03-01 12:00:02.9999+00'$$);
SELECT * FROM pushed($$"timestamp" >= '2026-03-01 12:00:03.0001+00'$$);
SELECT * FROM pushed($$"timestamp" = '2026-03-01 12:00:03.0001+00'$$);
SELECT * FROM pushed($$"timestamp" >= 'infinity'$$);
SELECT * FROM pushed($$"timestamp" > '-infinity'$$);
SELECT * FROM pushed($$"timestamp" = '-infinity'$$);
SELECT * FROM pushed($$"timestamp" >= '1960-01-01 00:00:00+00'$$);
SELECT * FROM pushed($$"timestamp" IS NULL$$);
SELECT * FROM pushed($$("timestamp", "offset") >= ('2026-03-01 12:00:04+00', 5)$$);
SELECT * FROM pushed($$"timestamp" > date '2026-03-01'$$);
SELECT * FROM pushed($$"timestamp" > date '5874000-01-01'$$);
SELECT * FROM pushed($$"timestamp" >= timestamp '2026-03-01 12:00:04'$$);
SELECT * FROM pushed($$"timestamp" >= '2026-03-01 12:00:04+00'
    AND partition = 1 OR "offset" = 0$$);
SELECT * FROM pushed($$"timestamp" IN ('2026-03-01 12:00:04+00', '2026-03-01 12:00:05+00')$$);
-- A timestamp without a zone is one of the session's.
SET TimeZone = 'Asia/Tokyo';
SELECT rows, same, read FROM pushed($$"timestamp" >= timestamp '2026-03-01 21:00:04'$$);
SELECT rows, same, read FROM pushed($$"timestamp" >= date '2026-03-02'$$);
SET TimeZone = 'UTC';
-- Where the table says that its timestamps rise, or nearly so, the upper bound is pushed too.
ALTER FOREIGN TABLE pd OPTIONS (ADD timestamp_ordered 'true');
SELECT * FROM pushed($$"timestamp" < '2026-03-01 12:00:03+00'$$);
SELECT * FROM pushed($$"timestamp" <= '2026-03-01 12:00:03+00'$$);
SELECT * FROM pushed($$"timestamp" = '2026-03-01 12:00:03+00'$$);
SELECT * FROM pushed($$"timestamp" <= '2026-03-01 12:00:02.9999+00'$$);
SELECT * FROM pushed($$"timestamp" < '2026-03-01 12:00:03.0001+00'$$);
SELECT * FROM pushed($$"timestamp" IN ('2026-03-01 12:00:01+00', '2026-03-01 12:00:04+00')$$);
ALTER FOREIGN TABLE pd OPTIONS (DROP timestamp_ordered, ADD max_timestamp_skew '2s');
SELECT * FROM pushed($$"timestamp" < '2026-03-01 12:00:01+00'$$);
ALTER FOREIGN TABLE pd OPTIONS (DROP max_timestamp_skew);

-- Stable functions and sub-selects have one value for a scan.
SELECT rows, same FROM pushed($$"timestamp" > now() - interval '5 min'$$);
SELECT plan_says($$SELECT * FROM pd WHERE "timestamp" > now() - interval '5 min'$$,
                 'Kafka Ranges');
SELECT read, rows, same FROM pushed($$"offset" > (SELECT max("offset") - 2 FROM pd_copy)$$);
SELECT read, rows, same FROM pushed($$partition = (SELECT 1) AND "offset" IN (SELECT 3)$$);
SELECT read, rows, same
    FROM pushed($$partition = ANY ((SELECT array_agg(partition) FROM pd_copy
    WHERE value = '2-1')::int[])$$);

-- Prepared statements, with a plan made once for all parameters.
SET plan_cache_mode = force_generic_plan;
PREPARE by_range(int, bigint, bigint) AS
    SELECT value FROM pd
    WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3 ORDER BY "offset";
SELECT plan($$EXECUTE by_range(1, 2, 4)$$);
EXECUTE by_range(1, 2, 4);
EXECUTE by_range(2, 5, 100);
EXECUTE by_range(NULL, 5, 100);
EXECUTE by_range(1, 4, 2);
EXECUTE by_range(1, -9223372036854775808, 1);
PREPARE by_list(int[], bigint[]) AS
    SELECT value FROM pd WHERE partition = ANY ($1) AND NOT "offset" = ANY ($2) ORDER BY value;
SELECT plan($$EXECUTE by_list('{0}', '{}')$$);
EXECUTE by_list('{0,2}', '{0,1,2,3}');
EXECUTE by_list('{0,NULL}', '{0,1,2,3}');
EXECUTE by_list('{0}', '{0,NULL}');
EXECUTE by_list(NULL, NULL);
-- The condition that may be left out.
PREPARE optional(int, bigint) AS
    SELECT count(*), min("offset") FROM pd
    WHERE ($1 IS NULL OR partition = $1) AND ("offset" >= $2 OR $2 IS NULL);
SELECT plan($$EXECUTE optional(1, 4)$$);
EXECUTE optional(1, 4);
EXECUTE optional(NULL, 4);
EXECUTE optional(1, NULL);
EXECUTE optional(NULL, NULL);
SELECT plan_says($$EXECUTE optional(1, 4)$$,
                 'Kafka Ranges Read', ', ANALYZE, TIMING OFF, SUMMARY OFF');
SELECT plan_says($$EXECUTE optional(NULL, 4)$$,
                 'Kafka Ranges Read', ', ANALYZE, TIMING OFF, SUMMARY OFF');
-- What the clause itself would not compute is not computed for the ranges.
PREPARE by_quotient(bigint) AS
    SELECT count(*) FROM pd WHERE $1 = 0 OR "offset" >= 10 / $1;
EXECUTE by_quotient(0);
EXECUTE by_quotient(5);
PREPARE by_row(int, bigint) AS
    SELECT count(*) FROM pd WHERE (partition, "offset") >= ($1, $2);
SELECT plan($$EXECUTE by_row(1, 4)$$);
EXECUTE by_row(1, 4);
EXECUTE by_row(2, NULL);
PREPARE by_time(timestamptz) AS
    SELECT count(*) FROM pd WHERE "timestamp" >= $1;
SELECT plan($$EXECUTE by_time('2026-03-01 12:00:04+00')$$);
EXECUTE by_time('2026-03-01 12:00:04+00');
EXECUTE by_time('infinity');
-- A cached plan follows the table: another column is the partition, the topic's start moves.
CREATE FOREIGN TABLE pd_moving (a int OPTIONS (partition 'true'),
                                b bigint OPTIONS ("offset" 'true'))
    SERVER kafka OPTIONS (topic :'t');
PREPARE moving(int) AS SELECT count(*) FROM pd_moving WHERE a = $1;
EXECUTE moving(5);
ALTER FOREIGN TABLE pd_moving ALTER a OPTIONS (DROP partition, ADD "offset" 'true'),
    ALTER b OPTIONS (DROP "offset", ADD partition 'true');
EXECUTE moving(5);
SELECT plan($$EXECUTE moving(5)$$);
ALTER FOREIGN TABLE pd_moving OPTIONS (ADD start_offset '{"0": 100}');
EXECUTE moving(5);
RESET plan_cache_mode;
DEALLOCATE ALL;

-- Joins: the scan starts anew for each row of the other side, where that is small.
CREATE TABLE wanted (id int, p int, o bigint);
INSERT INTO wanted VALUES (1, 0, 3), (2, 2, 5), (3, 1, NULL), (4, NULL, 2), (5, 2, 5), (6, 1, 0);
ANALYZE wanted;
SET enable_memoize = off;
SELECT line FROM plan($$SELECT * FROM wanted JOIN pd ON partition = p AND "offset" = o$$) line
    WHERE line !~ 'Filter';
SELECT id, value FROM wanted JOIN pd ON partition = p AND "offset" = o ORDER BY id;
SELECT id, value FROM wanted LEFT JOIN pd ON partition = p AND "offset" = o ORDER BY id;
SELECT id, value FROM wanted JOIN pd ON partition = p AND "offset" >= o + 2 ORDER BY id, value;
SELECT id, n FROM wanted, LATERAL (SELECT count(*) AS n FROM pd
    WHERE partition = p AND "offset" < o) x ORDER BY id;
SELECT id, value FROM wanted, LATERAL (SELECT value FROM pd WHERE partition = p
    ORDER BY "offset" DESC LIMIT 1) x ORDER BY id;
SELECT id, (SELECT max(value) FROM pd
    WHERE partition = p AND "offset" <= o) FROM wanted ORDER BY id;
SELECT id FROM wanted WHERE EXISTS (SELECT FROM pd
    WHERE partition = p AND "offset" = o) ORDER BY id;
SELECT count(*) FROM pd a JOIN pd b ON a.partition = b.partition AND a."offset" = b."offset" + 3;
-- Both sides of an equivalence, and a constant in it.
SELECT plan_says($$SELECT * FROM wanted JOIN pd ON partition = p WHERE p = 2$$, 'Kafka Ranges');

RESET enable_memoize;

-- The planner asks Kafka only where it is told to.
CREATE FUNCTION estimate(condition text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT * FROM pd WHERE ' || condition INTO plan;
    RETURN plan #>> '{0,Plan,Plan Rows}';
END $$;
SELECT estimate('true') > 18 AS assumed;
ALTER FOREIGN TABLE pd OPTIONS (ADD use_remote_estimate 'true');
SELECT estimate('true'), estimate('partition = 1'), estimate('"offset" >= 4'),
       estimate('partition IN (0, 7) AND "offset" < 100'), estimate('partition = 7');
SELECT count(*) FROM pd WHERE partition = (SELECT 1) AND "offset" >= (SELECT 4);
ALTER FOREIGN TABLE pd OPTIONS (ADD start_offset '-2', ADD end_offset '{"2": 4}');
SELECT estimate('true');
ALTER FOREIGN TABLE pd OPTIONS (DROP start_offset, DROP end_offset, SET topic 'no.such.topic');
SELECT sqlstate FROM try('SELECT * FROM pd');
ALTER FOREIGN TABLE pd OPTIONS (DROP use_remote_estimate);
SELECT estimate('true') > 0 AS assumed;
ALTER FOREIGN TABLE pd OPTIONS (SET topic :'t');

-- In the order of the offsets: no Sort, and from the end where that is asked for.
SELECT plan($$SELECT value FROM pd WHERE partition = 1 ORDER BY "offset"$$);
SELECT plan($$SELECT value FROM pd WHERE partition = 1 ORDER BY "offset" DESC LIMIT 2$$);
SELECT plan($$SELECT value FROM pd
    WHERE partition = 1 ORDER BY partition, "offset" DESC NULLS LAST$$);
SELECT plan($$SELECT value FROM pd WHERE partition = 1 ORDER BY "offset" NULLS FIRST, value$$);
SELECT plan($$SELECT value FROM pd WHERE partition < 1 ORDER BY "offset"$$);
SELECT plan($$SELECT value FROM pd WHERE partition <= 1 ORDER BY "offset"$$);
SELECT plan($$SELECT value FROM pd ORDER BY "offset"$$);
SELECT value FROM pd WHERE partition = 1 ORDER BY "offset";
SELECT value FROM pd WHERE partition = 1 ORDER BY "offset" DESC;
SELECT value FROM pd WHERE partition = 1 ORDER BY "offset" DESC LIMIT 2;
SELECT value FROM pd WHERE partition = 1 ORDER BY "offset" DESC OFFSET 4;
SELECT value FROM pd
    WHERE partition = 1 AND ("offset" < 2 OR "offset" IN (3, 5)) ORDER BY "offset" DESC;
SELECT value FROM pd
    WHERE partition = 1 AND "offset" > 2 AND key < 'k5' ORDER BY "offset" DESC NULLS LAST;
SELECT value FROM pd WHERE partition = 9 ORDER BY "offset" DESC;
SELECT min("offset"), max("offset") FROM pd WHERE partition = 1;
SELECT plan_says($$SELECT max("offset") FROM pd
    WHERE partition = 1 AND "offset" < 4$$, 'Node Type');
SELECT max("offset") FROM pd WHERE partition = 1 AND "offset" < 4;
-- With a cursor, back and forth between scans.
BEGIN;
DECLARE up CURSOR FOR SELECT value FROM pd WHERE partition = 0 ORDER BY "offset";
DECLARE down CURSOR FOR SELECT value FROM pd WHERE partition = 0 ORDER BY "offset" DESC;
FETCH 2 FROM up;
FETCH 2 FROM down;
FETCH 1 FROM up;
FETCH ALL FROM down;
COMMIT;

-- A large list is joined into fewer ranges, and still gives its rows alone.
SELECT count(*) FROM pd WHERE "offset" = ANY (SELECT 3 + g * 2 FROM generate_series(0, 50000) g);
SELECT count(*) FROM pd
    WHERE "offset" = ANY ((SELECT array_agg(3 + g * 2)
    FROM generate_series(0, 50000) g)::bigint[]);
SELECT count(*) FROM pd
    WHERE "offset" = ANY ((SELECT array_agg(3 + g * 2) FROM generate_series(0, 9000) g)::bigint[])
      AND partition = ANY ((SELECT array_agg(g * 2) FROM generate_series(0, 100) g)::int[]);
SELECT count(*) FROM pd
    WHERE partition <> ALL ((SELECT array_agg(1 + g * 2) FROM generate_series(0, 50000) g)::int[]);

DROP FOREIGN TABLE pd, pd_moving;
DROP TABLE pd_copy, wanted;
DROP FUNCTION pushed, plan, plan_says, estimate;
SELECT kafka_delete_topic(:'t');
