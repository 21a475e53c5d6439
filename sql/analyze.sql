-- ANALYZE. Topics here are small enough to be read whole, so that what it finds is known; large ones
-- are for t/046_analyze.pl.
SELECT topic('analyze') AS t, topic('analyze.empty') AS empty \gset
SELECT kafka_create_topic(:'t', 3, config => '{"retention.ms": -1}'), kafka_create_topic(:'empty', 2);
SET TimeZone = 'UTC';
CREATE FOREIGN TABLE an (partition int, "offset" bigint, "timestamp" timestamptz, dropped int
    OPTIONS (partition 'true'), key text, value text) SERVER kafka OPTIONS (topic :'t');
ALTER FOREIGN TABLE an DROP COLUMN dropped;
-- Partition 0 has 600 messages, 1 has 300, 2 has 100.
INSERT INTO an (partition, "timestamp", key, value)
    SELECT CASE WHEN g <= 600 THEN 0 WHEN g <= 900 THEN 1 ELSE 2 END,
           '2026-01-01 00:00:00+00'::timestamptz + g * interval '1 s',
           CASE WHEN g % 4 <> 0 THEN 'k' || g % 10 END, repeat('v', 100)
    FROM generate_series(1, 1000) g;

CREATE FUNCTION size_of(relation regclass) RETURNS TABLE (pages int, tuples real) LANGUAGE sql
    AS $$ SELECT relpages, reltuples FROM pg_class WHERE oid = relation $$;
SELECT * FROM size_of('an');
ANALYZE an;
SELECT pages BETWEEN 10 AND 20 AS some_pages, tuples FROM size_of('an');
SELECT attname, null_frac, avg_width, n_distinct, round(correlation::numeric, 2) AS correlation
FROM pg_stats WHERE tablename = 'an' AND attname NOT IN ('key', 'value') ORDER BY attname;
SELECT attname, null_frac, n_distinct FROM pg_stats
WHERE tablename = 'an' AND attname IN ('key', 'value') ORDER BY attname;
SELECT most_common_vals, most_common_freqs FROM pg_stats
WHERE tablename = 'an' AND attname = 'partition';
-- From the first message to the last.
SELECT bounds[1] AS first, bounds[array_upper(bounds, 1)] AS last
FROM (SELECT histogram_bounds::text::timestamptz[] AS bounds FROM pg_stats
      WHERE tablename = 'an' AND attname = 'timestamp') s;
-- Some of the columns, and fewer rows than there are.
ANALYZE an (key, value);
SET default_statistics_target = 1;
ANALYZE an;
SELECT tuples FROM size_of('an');
RESET default_statistics_target;

----------------------------------------------------------------------
-- What the table shows
----------------------------------------------------------------------

CREATE FUNCTION tuples_with(options text) RETURNS real LANGUAGE plpgsql AS $$
DECLARE
    result real;
BEGIN
    EXECUTE format('CREATE FOREIGN TABLE an_with (partition int, value text) SERVER kafka OPTIONS (topic %L%s)',
                   topic('analyze'), options);
    ANALYZE an_with;
    SELECT tuples INTO result FROM size_of('an_with');
    DROP FOREIGN TABLE an_with;
    RETURN result;
END $$;
SELECT tuples_with('');
SELECT tuples_with($$, start_offset '50'$$);
SELECT tuples_with($$, start_offset '{"0": 100, "1": "newest"}', end_offset '300'$$);
SELECT tuples_with($$, start_offset '-150'$$);
SELECT tuples_with($$, start_offset '@2026-01-01 00:15:00+00'$$);
SELECT tuples_with($$, start_offset '2000'$$);
-- A tail is what it has to show before it waits, and is not waited for.
SELECT tuples_with($$, wait_timeout '-1'$$), tuples_with($$, start_offset '-10', wait_timeout '1h'$$),
       tuples_with($$, start_offset 'newest', wait_timeout '-1'$$);
-- A sample is no scan.
SET kafka_fdw.max_scan_messages = 10;
SELECT tuples_with(''), tuples_with($$, start_offset '-150'$$);
RESET kafka_fdw.max_scan_messages;
-- Nothing in it, which does not stay so: the planner assumes something.
CREATE FOREIGN TABLE an_empty (partition int, value text) SERVER kafka OPTIONS (topic :'empty');
ANALYZE an_empty;
SELECT * FROM size_of('an_empty');

----------------------------------------------------------------------
-- With other tables
----------------------------------------------------------------------

-- Partitions get their share of the sample by their size.
CREATE TABLE an_all (partition int, "offset" bigint, "timestamp" timestamptz, key text, value text)
    PARTITION BY LIST (partition);
CREATE TABLE an_local PARTITION OF an_all FOR VALUES IN (100);
INSERT INTO an_local SELECT 100, g, now(), 'local', repeat('v', 100) FROM generate_series(1, 500) g;
ALTER TABLE an_all ATTACH PARTITION an FOR VALUES IN (0, 1, 2);
ANALYZE an_all;
SELECT tuples FROM size_of('an_all');
SELECT most_common_vals FROM pg_stats WHERE tablename = 'an_all' AND inherited AND attname = 'partition';

-- Without a name, foreign tables are left out, but as a part of another table they are not. Nobody
-- listens at this server's address.
CREATE SERVER nowhere FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers '127.0.0.1:1', metadata_timeout '50ms');
CREATE FOREIGN TABLE an_nowhere (partition int, "offset" bigint, "timestamp" timestamptz, key text,
    value text) SERVER nowhere OPTIONS (topic 'an');
ANALYZE;
VACUUM ANALYZE;
SELECT tuples FROM size_of('an_nowhere');
\set VERBOSITY terse
ANALYZE an_nowhere;
ALTER TABLE an_all ATTACH PARTITION an_nowhere FOR VALUES IN (3);
ANALYZE an_all;
ANALYZE;
ALTER TABLE an_all DETACH PARTITION an_nowhere;
-- What keeps a table from being read keeps it from being analyzed.
CREATE FOREIGN TABLE an_unknown (value text) SERVER kafka OPTIONS (topic 'web_lok');
CREATE FOREIGN TABLE an_other (other text) SERVER kafka OPTIONS (topic :'t');
ANALYZE an_unknown;
ANALYZE an_other;
\set VERBOSITY default

-- It is the owner who reads, whoever analyzes: with his user mapping, by his rights.
CREATE ROLE regress_kafka_analyze;
CREATE SERVER closed FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '127.0.0.1:1',
    metadata_timeout '50ms', security_protocol 'sasl_plaintext', sasl_mechanism 'PLAIN');
CREATE USER MAPPING FOR regress_kafka_analyze SERVER closed OPTIONS (sasl_username 'a', sasl_password 'b');
CREATE FOREIGN TABLE an_closed (value text) SERVER closed;
SELECT sqlstate, message FROM try('ANALYZE an_closed');
ALTER FOREIGN TABLE an_closed OWNER TO regress_kafka_analyze;
SELECT sqlstate, message FROM try('ANALYZE an_closed');

DROP TABLE an_all;
DROP FOREIGN TABLE an_empty, an_nowhere, an_unknown, an_other, an_closed;
DROP SERVER nowhere;
DROP SERVER closed CASCADE;
DROP ROLE regress_kafka_analyze;
DROP FUNCTION size_of, tuples_with;
SELECT kafka_delete_topic(:'t'), kafka_delete_topic(:'empty');
