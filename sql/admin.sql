-- Topics made, widened, emptied and deleted from SQL.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SELECT topic('admin') AS t, topic('admin.config') AS config, topic('admin.compact') AS compact \gset

-- A topic can be used as soon as the function returns, and knows its partitions.
SELECT kafka_create_topic(:'t', 2);
SELECT kafka_send(:'t', 'a', partition => 1);
SELECT partition, "offset", value FROM kafka_read(:'t');
SELECT sqlstate, message, detail
FROM try(format('SELECT * FROM kafka_read(%L, partition => 2)', :'t'));
SELECT sqlstate, message, detail, hint FROM try(format('SELECT kafka_create_topic(%L, 2)', :'t'));

-- What is NULL is the broker's default.
SELECT kafka_create_topic(topic('admin.default'), NULL, NULL, NULL, NULL);
SELECT kafka_send(topic('admin.default'), 'a', partition => 0);

-- A setting is a string, a number or a boolean.
SELECT kafka_create_topic(:'config', 1, 1, '{"message.timestamp.type": "LogAppendTime",
    "max.message.bytes": 2000, "preallocate": false, "min.cleanable.dirty.ratio": 0.25}');
CREATE FOREIGN TABLE admin_config (value text, timestamp_type text) SERVER kafka
    OPTIONS (topic :'config');
SELECT kafka_send(:'config', 'a');
SELECT * FROM admin_config;
SELECT sqlstate FROM try(format('SELECT kafka_send(%L, repeat(md5(''''), 100))', :'config'));

-- Settings that are refused: by us, and by the broker, whose words are in the detail.
SELECT config, (try(format('SELECT kafka_create_topic(topic(%L), 1, 1, %L)', 'admin.refused',
                           config))).*
FROM (VALUES ('[]'), ('"compact"'), ('{"retention.ms": null}'), ('{"retention.ms": [1]}'),
             ('{"retention.ms": {"a": 1}}'), ('{"": "a"}')) v (config) ORDER BY config COLLATE "C";
SELECT sqlstate, message, detail FROM try(format(
    'SELECT kafka_create_topic(%L, 1, 1, ''{"no.such.setting": 1}'')', topic('admin.refused')));
SELECT sqlstate, message, detail IS NOT NULL AS detail FROM try(format(
    'SELECT kafka_create_topic(%L, 1, 1, ''{"cleanup.policy": "burn"}'')', topic('admin.refused')));
SELECT sqlstate FROM try(format('SELECT * FROM kafka_read(%L)', topic('admin.refused')));

-- Numbers out of range.
SELECT partitions, replicas, (try(format('SELECT kafka_create_topic(topic(%L), %s, %s)',
                                         'admin.refused', partitions, replicas))).*
FROM (VALUES (0, 1), (-1, 1), (1, 0), (1, -1), (2147483647, 1), (1, 40000))
    v (partitions, replicas);
SELECT sqlstate, message FROM try(format('SELECT kafka_create_topic(%L, 1, 7)',
                                         topic('admin.refused')));

-- Names that Kafka does not have.
SELECT left(name, 9) AS name, sqlstate, left(message, 36) AS message
FROM (VALUES (''), ('.'), ('..'), ('a b'), ('ü'), (repeat('a', 250))) v (name),
    try(format('SELECT kafka_create_topic(%L, 1)', name)) ORDER BY v.name COLLATE "C";
-- A broker cannot tell dots from underscores in its metrics.
SELECT sqlstate FROM try(format('SELECT kafka_create_topic(%L, 1)',
                                         replace(topic('admin.default'), '.', '_')));

-- Partitions can be added, and not taken away.
SELECT kafka_add_partitions(:'t', 4);
SELECT kafka_send(:'t', 'b', partition => 3);
SELECT partition, "offset", value FROM kafka_read(:'t') ORDER BY 1, 2;
SELECT n, sqlstate, message
FROM unnest('{4,3,0,-1,2147483647,NULL}'::int[]) WITH ORDINALITY u (n, i),
    try(format('SELECT kafka_add_partitions(%L, %L)', :'t', n)) ORDER BY i;
SELECT sqlstate, message
FROM try(format('SELECT kafka_add_partitions(%L, 4)', topic('admin.none')));

-- Records are deleted up to an offset; what is left keeps its own.
SELECT count(kafka_send(:'t', i::text, partition => 0)) FROM generate_series(0, 9) i;
SELECT kafka_delete_records(:'t', 0, 4);
SELECT min("offset"), max("offset"), count(*) FROM kafka_read(:'t', partition => 0);
SELECT kafka_delete_records(:'t', 0, 2);        -- they are gone already
SELECT kafka_delete_records(:'t', 0, 10);       -- all of them
SELECT count(*) FROM kafka_read(:'t', partition => 0);
SELECT kafka_send(:'t', 'c', partition => 0);
SELECT p AS partition, o AS before_offset, (try(format(
    'SELECT kafka_delete_records(%L, %L, %L)', :'t', p, o))).*
FROM (VALUES (0, 12), (0, -1), (4, 0), (-1, 0), (NULL, 0), (0, NULL)) v (p, o);
SELECT kafka_create_topic(:'compact', 1, 1, '{"cleanup.policy": "compact"}');
SELECT sqlstate, message, detail, hint FROM try(format(
    'SELECT kafka_delete_records(%L, 0, 0)', :'compact'));

-- A deleted topic is gone when the function returns; one made again is a new one.
SELECT kafka_delete_topic(:'t');
SELECT sqlstate, message FROM try(format('SELECT * FROM kafka_read(%L)', :'t'));
SELECT sqlstate, message FROM try(format('SELECT kafka_delete_topic(%L)', :'t'));
SELECT sqlstate, message FROM try(format('SELECT kafka_delete_records(%L, 0, 0)', :'t'));
SELECT kafka_create_topic(:'t', 1);
SELECT count(*) FROM kafka_read(:'t');
SELECT kafka_send(:'t', 'd', partition => 0);
SELECT partition, "offset", value FROM kafka_read(:'t');
SELECT sqlstate, message, hint FROM try(format('SELECT kafka_delete_topic(%L)', topic('admmin')));

-- A rollback brings nothing back.
BEGIN;
SELECT kafka_delete_topic(:'t');
ROLLBACK;
SELECT sqlstate FROM try(format('SELECT * FROM kafka_read(%L)', :'t'));

-- What must be given.
SELECT (try($$SELECT kafka_create_topic(NULL)$$)).*;
SELECT (try($$SELECT kafka_delete_topic(NULL)$$)).*;
SELECT (try($$SELECT kafka_add_partitions(NULL, 1)$$)).*;
SELECT (try($$SELECT kafka_delete_records(NULL, 0, 0)$$)).*;

-- The transaction must be one that may write.
BEGIN READ ONLY;
SELECT sqlstate, message FROM try(format('SELECT kafka_create_topic(%L)', topic('admin.refused')));
SELECT sqlstate, message FROM try(format('SELECT kafka_delete_topic(%L)', :'config'));
SELECT sqlstate, message FROM try(format('SELECT kafka_add_partitions(%L, 2)', :'config'));
SELECT sqlstate, message FROM try(format('SELECT kafka_delete_records(%L, 0, 1)', :'config'));
ROLLBACK;
SELECT value FROM kafka_read(:'config');

-- The caller needs EXECUTE, which PUBLIC does not have, and USAGE on the server.
CREATE ROLE regress_kafka_admin;
GRANT SELECT ON test_run TO regress_kafka_admin;
SET ROLE regress_kafka_admin;
SELECT function, sqlstate, message FROM unnest('{kafka_create_topic(%L),kafka_delete_topic(%L),
    "kafka_add_partitions(%L, 2)","kafka_delete_records(%L, 0, 0)"}'::text[]) function,
    try(format('SELECT ' || function, topic('admin.config')));
RESET ROLE;
GRANT EXECUTE ON FUNCTION kafka_delete_topic TO regress_kafka_admin;
SET ROLE regress_kafka_admin;
SELECT sqlstate, message FROM try(format('SELECT kafka_delete_topic(%L, ''kafka'')',
                                         topic('admin.config')));
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER kafka TO regress_kafka_admin;
SET ROLE regress_kafka_admin;
SELECT kafka_delete_topic(topic('admin.config'), 'kafka');
RESET ROLE;
DROP FOREIGN TABLE admin_config;
DROP OWNED BY regress_kafka_admin;
DROP ROLE regress_kafka_admin;

-- A server may be confined to some topics.
CREATE SERVER kafka_few FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers :'bootstrap', allowed_topics 'web.*');
SELECT sqlstate, message FROM try(format('SELECT kafka_create_topic(%L, server => ''kafka_few'')',
                                         topic('admin.refused')));
DROP SERVER kafka_few;

-- No broker.
CREATE SERVER kafka_down FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers '127.0.0.1:1', metadata_timeout '300ms');
SELECT sqlstate, message, hint FROM try(format(
    'SELECT kafka_create_topic(%L, server => ''kafka_down'')', topic('admin.refused')));
SELECT sqlstate, message FROM try(format(
    'SELECT kafka_delete_records(%L, 0, 0, ''kafka_down'')', topic('admin.refused')));
DROP SERVER kafka_down;

SELECT kafka_delete_topic(:'compact');
SELECT kafka_delete_topic(topic('admin.default'));
