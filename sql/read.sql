-- kafka_read and kafka_last: a topic that has no foreign table.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SET timezone = 'UTC';
SELECT topic('read') AS t, topic('last') AS l \gset
SELECT kafka_create_topic(:'t', 2, config => '{"retention.ms": -1}');

-- Whatever is in a message is shown: NULL is not empty, and what is not text is escaped.
CREATE TABLE read_sent (i int, value bytea, key bytea, headers jsonb, ts timestamptz);
INSERT INTO read_sent VALUES
    (0, 'value', 'key', '{"h": "1", "list": ["a", null, "b"]}', '2024-05-31 12:00:00.123+00'),
    (1, '', '', '{}', '2024-05-31 12:00:01+00'),
    (2, NULL, 'tombstone', NULL, '2024-05-31 12:00:02+00'),
    (3, 'no key', NULL, NULL, '2024-05-31 12:00:03+00'),
    (4, '\x00ff', '\xc3', '{"bytes": {"base64": "AP8="}}', '2024-05-31 12:00:04+00'),
    (5, 'züricher straße €', '\x5c78', NULL, '1970-01-01 00:00:01+00');
SELECT kafka_send(:'t', value, key, 0, headers, ts) FROM read_sent ORDER BY i;
SELECT * FROM kafka_read(:'t');
SELECT "offset", key IS NULL AS no_key, key = '' AS empty_key, value IS NULL AS no_value,
    value = '' AS empty_value FROM kafka_read(:'t') WHERE "offset" BETWEEN 1 AND 3;

-- How many, and of which partition.
SELECT kafka_send(:'t', 'one', partition => 1, "timestamp" => '2024-05-31 12:00:00+00');
SELECT count(*) FROM kafka_read(:'t', max_messages => 4);
SELECT count(*) FROM kafka_read(:'t', max_messages => 7);
SELECT count(*) FROM kafka_read(:'t', max_messages => NULL);
SELECT count(*) FROM kafka_read(:'t', max_messages => 0);
SELECT "offset" FROM kafka_read(:'t', partition => 0, max_messages => 2);
SELECT partition, "offset" FROM kafka_read(:'t', partition => 1);
SELECT "offset" FROM kafka_read(:'t', '2', '4', 0);
SELECT "offset" FROM kafka_read(:'t', NULL, NULL, 0, NULL, NULL);
SELECT count(*) FROM kafka_read(:'t', server => 'kafka');

-- In the target list, and lateral.
SELECT (kafka_read(:'t', partition => 1)).value;
SELECT p, count(value) FROM generate_series(0, 1) p, kafka_read(:'t', partition => p) GROUP BY p
ORDER BY p;

-- More than a thousand, which is the default's limit, and more than small fetches are made for.
SELECT topic('read.many') AS many \gset
SELECT kafka_create_topic(:'many', 1);
CREATE FOREIGN TABLE read_many (partition int, "offset" bigint, value text) SERVER kafka
    OPTIONS (topic :'many');
INSERT INTO read_many (value) SELECT i FROM generate_series(0, 19999) i;
SELECT count(*), max(value::int) FROM kafka_read(:'many');
SELECT count(*), sum(value::int), bool_and(value::bigint = "offset")
FROM kafka_read(:'many', max_messages => NULL);
SELECT count(*), min(value::int), max(value::int)
FROM kafka_read(:'many', '-12345', max_messages => NULL);
SELECT count(*), min(value::int), max(value::int) FROM kafka_last(:'many', 15000);

-- The newest over all partitions, oldest first: by time, then partition, then offset.
SELECT kafka_create_topic(:'l', 3, config => '{"retention.ms": -1}');
SELECT * FROM kafka_last(:'l');
SELECT kafka_send(:'l', partition || ':' || s, partition => partition,
                  "timestamp" => '2024-05-31 12:00:00+00'::timestamptz + s * interval '1s')
FROM (VALUES (1, 0, 1), (2, 1, 2), (3, 0, 3), (4, 1, 3), (5, 1, 3), (6, 0, 9), (7, 0, 8), (8, 1, 4))
    v (i, partition, s) ORDER BY i;
SELECT partition, "offset", "timestamp", value FROM kafka_last(:'l');
SELECT n, array_agg(value ORDER BY ordinality) FROM generate_series(0, 9) n,
    kafka_last(:'l', n) WITH ORDINALITY GROUP BY n ORDER BY n;
SELECT count(*) FROM kafka_last(:'l', 2147483647);
SELECT value FROM kafka_last(:'l', 1, 'kafka');
SELECT count(*) FROM kafka_last(:'many');

-- Errors.
SELECT n, (try(format(f, :'t'))).* FROM (VALUES
    (1, 'SELECT * FROM kafka_read(NULL)'),
    (2, 'SELECT * FROM kafka_last(NULL)'),
    (3, 'SELECT * FROM kafka_last(%L, NULL)'),
    (4, 'SELECT * FROM kafka_last(%L, -1)'),
    (5, 'SELECT * FROM kafka_read(%L, max_messages => -1)'),
    (6, 'SELECT * FROM kafka_read(%L, partition => 2)'),
    (7, 'SELECT * FROM kafka_read(%L, partition => -1)'),
    (8, 'SELECT * FROM kafka_read(%L, server => ''nobody'')'),
    (9, 'SELECT * FROM kafka_read(''a topic'')')
) v (n, f) ORDER BY n;
SELECT sqlstate, message FROM try(format('SELECT * FROM kafka_read(%L, ''tomorrow'')', :'t'));
SELECT sqlstate, message FROM try(format('SELECT * FROM kafka_read(%L, ''0'', ''-5'')', :'t'));
SELECT sqlstate, message, hint
FROM try(format('SELECT * FROM kafka_read(%L)', topic('reed')));
SELECT sqlstate, message FROM try(format('SELECT * FROM kafka_last(%L)', topic('laast')));
SELECT sqlstate, message FROM try(format('SELECT * FROM kafka_last(%L, 0)', topic('laast')));

-- The session goes on after an error in the midst of a scan.
BEGIN;
SAVEPOINT s;
SELECT sum(1 / (value::int - 500)) FROM read_many;
ROLLBACK TO s;
SELECT count(*) FROM kafka_read(:'many', max_messages => NULL);
COMMIT;
SELECT in_use, valid FROM kafka_connections WHERE kind LIKE '%consumer' AND in_use;

-- Reading is allowed where writing is not.
BEGIN READ ONLY;
SELECT count(*) FROM kafka_read(:'t');
SELECT value FROM kafka_last(:'t', 1);
COMMIT;

-- USAGE on the server, and nothing else, is needed.
CREATE ROLE regress_kafka_read;
GRANT SELECT ON test_run TO regress_kafka_read;
SET ROLE regress_kafka_read;
SELECT sqlstate, message
FROM try(format('SELECT * FROM kafka_read(%L, server => ''kafka'')', topic('read')));
SELECT sqlstate, message
FROM try(format('SELECT * FROM kafka_last(%L, server => ''kafka'')', topic('read')));
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER kafka TO regress_kafka_read;
SET ROLE regress_kafka_read;
SELECT count(*) FROM kafka_read(topic('read'));
RESET ROLE;
DROP OWNED BY regress_kafka_read;
DROP ROLE regress_kafka_read;

-- allowed_topics confines both.
CREATE SERVER kafka_few FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers :'bootstrap', allowed_topics 'last.*, web_*');
SELECT sqlstate, message
FROM try(format('SELECT * FROM kafka_read(%L, server => ''kafka_few'')', :'t'));
SELECT count(*) FROM kafka_last(:'l', server => 'kafka_few');
DROP SERVER kafka_few;

DROP FOREIGN TABLE read_many;
DROP TABLE read_sent;
SELECT kafka_delete_topic(t) FROM unnest(ARRAY[:'t', :'l', :'many']) t;
