-- Scans that several processes share: which ones, and what they return. That nothing is lost or
-- repeated is for t/051_parallel_differential.pl.
SELECT topic('parallel') AS t, topic('parallel.other') AS u \gset
SELECT kafka_create_topic(:'t', 3), kafka_create_topic(:'u', 2);
CREATE FOREIGN TABLE p (partition int, "offset" bigint, "timestamp" timestamptz, key text, value text)
    SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE q (partition int, "offset" bigint, "timestamp" timestamptz, key text, value text)
    SERVER kafka OPTIONS (topic :'u');
CREATE FOREIGN TABLE p_tail (partition int, "offset" bigint, value text)
    SERVER kafka OPTIONS (topic :'t', wait_timeout '1ms');
INSERT INTO p (partition, key, value) SELECT n % 3, 'k' || n, n FROM generate_series(1, 3000) n;
INSERT INTO q (partition, key, value) SELECT n % 2, 'k' || n, n FROM generate_series(1, 1000) n;
CREATE FUNCTION shared_plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        CONTINUE WHEN line ~ 'Kafka Topic|Params Evaluated';
        -- PostgreSQL 17 has other words for parameters, and 18 another order of what is equal.
        line := regexp_replace(line, '(InitPlan \d+) \(returns .*\)', '\1');
        line := regexp_replace(line, '\(InitPlan (\d+)\)\.col1', '$\1');
        RETURN NEXT replace(line, '("offset" = n.n)', '(n.n = "offset")');
    END LOOP;
END $$;

-- When it pays: a scan that costs as much as that of a million messages, and returns few rows.
CREATE PROCEDURE pretend(messages float) LANGUAGE sql
    AS $$ UPDATE pg_class SET reltuples = messages WHERE relname IN ('p', 'p_tail') $$;
CREATE FUNCTION costly(text) RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE COST 1000
    AS $$ BEGIN RETURN $1 > ''; END $$;
CALL pretend(900000);
SELECT shared_plan('SELECT count(*) FROM p');
SELECT shared_plan('SELECT count(*) FROM p WHERE costly(value)');
CALL pretend(2000000);
SELECT shared_plan('SELECT count(*) FROM p');
SELECT shared_plan('SELECT * FROM p');
CALL pretend(5000000);
SELECT shared_plan('SELECT count(*) FROM p');
SELECT shared_plan('SELECT count(*) FROM p WHERE "offset" < 100000');
SET min_parallel_table_scan_size = '80MB';
SELECT shared_plan('SELECT count(*) FROM p');
RESET min_parallel_table_scan_size;

-- Never: a tail, the order of the offsets, a scan for each row of another table.
SELECT shared_plan('SELECT count(*) FROM p_tail');
SELECT shared_plan('SELECT value FROM p WHERE partition = 1 ORDER BY "offset"');
SELECT shared_plan('SELECT value FROM p WHERE partition = 1 ORDER BY "offset" DESC LIMIT 3');
SELECT shared_plan('SELECT count(*) FROM generate_series(1, 3) n, p WHERE p.partition = 0 AND p."offset" = n');

-- From here on wherever it can be.
CALL pretend(-1);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT shared_plan('SELECT count(*) FROM p');
SELECT count(*), sum(value::int), count(DISTINCT value) FROM p;
SELECT count(*), sum(value::int) FROM p WHERE partition = 2 AND "offset" BETWEEN 100 AND 199;
SELECT count(*) FROM p WHERE partition = 7;
SELECT count(*) FROM p WHERE "offset" = 3 AND "offset" = 4;
SELECT count(*) FROM (SELECT value FROM p LIMIT 10) l;
SELECT count(*) FROM (SELECT value FROM p LIMIT 10 OFFSET 2995) l;

-- What is unsafe stays with the leader.
CREATE FUNCTION unsafe(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN $1 > ''; END $$;
SELECT shared_plan('SELECT count(*) FROM p WHERE unsafe(value)');

-- All processes read what the leader found: one end, one value of each parameter.
SELECT shared_plan('SELECT count(*) FROM p WHERE "offset" >= (SELECT max("offset") FROM q)');
SELECT count(*) FROM p WHERE "offset" >= (SELECT max("offset") FROM q);
PREPARE from_offset(bigint) AS SELECT count(*) FROM p WHERE "offset" >= $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE from_offset(990);
EXECUTE from_offset(NULL);
RESET plan_cache_mode;

-- A Gather that is read again for each row, with the same ranges and with others.
SET enable_material = off;
SELECT n, c FROM generate_series(1, 3) n LEFT JOIN (SELECT count(*) c FROM p) x ON c >= n ORDER BY n;
SELECT n, (SELECT count(*) FROM p WHERE "offset" >= (SELECT n)) FROM generate_series(998, 1000) n ORDER BY n;
RESET enable_material;

-- Joins and partitioned tables below a Gather: each topic is shared.
SET enable_mergejoin = off;
SELECT shared_plan('SELECT count(*) FROM p JOIN q USING (key)');
SELECT count(*) FROM p JOIN q USING (key);
RESET enable_mergejoin;
CREATE TABLE both_topics (partition int, "offset" bigint, "timestamp" timestamptz, key text, value text)
    PARTITION BY LIST (key);
ALTER TABLE both_topics ATTACH PARTITION p DEFAULT;
CREATE FOREIGN TABLE q_part PARTITION OF both_topics FOR VALUES IN ('never')
    SERVER kafka OPTIONS (topic :'u');
SELECT shared_plan('SELECT count(*) FROM both_topics');
SELECT count(*), sum(value::int) FROM both_topics;
SELECT count(*) FROM (SELECT value FROM p UNION ALL SELECT value FROM q) u;
ALTER TABLE both_topics DETACH PARTITION p;

-- Errors are as they are elsewhere, whichever process meets them.
SET kafka_fdw.max_scan_messages = 100;
SELECT * FROM try('SELECT count(*) FROM p');
RESET kafka_fdw.max_scan_messages;
SET parallel_leader_participation = off;
SELECT sqlstate, regexp_replace(message, '\d+', 'N') AS message, context
FROM try('SELECT count(*) FROM p WHERE key::int = 1');
CREATE FOREIGN TABLE p_int (partition int, "offset" bigint, key int) SERVER kafka OPTIONS (topic :'t');
SELECT sqlstate, regexp_replace(message, '\d+', 'N') AS message, regexp_replace(context, '\d+', 'N', 'g') AS context
FROM try('SELECT count(*) FROM p_int WHERE key = 1');
RESET parallel_leader_participation;

-- No worker to be had: the leader reads it all.
SET max_parallel_workers = 0;
CREATE FUNCTION analyzed(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
        -- PostgreSQL 18 counts rows in hundredths.
        line := regexp_replace(line, 'rows=(\d+)\.00', 'rows=\1');
        RETURN NEXT regexp_replace(line, 'Topic: .*', 'Topic: ...');
    END LOOP;
END $$;
SELECT analyzed('SELECT count(*) FROM p');
RESET max_parallel_workers;

SELECT kafka_delete_topic(:'t'), kafka_delete_topic(:'u');
