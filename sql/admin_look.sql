-- Topics, partitions, brokers and settings looked at from SQL.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SELECT topic('look') AS t, topic('look.other') AS other, topic('look.settings') AS settings \gset
SELECT kafka_create_topic(:'t', 3);
SELECT kafka_create_topic(:'other', 1);
SELECT count(kafka_send(:'t', i::text, partition => i % 2)) FROM generate_series(1, 7) i;
SELECT kafka_delete_records(:'t', 1, 2);

-- Topics
SELECT replace(topic, '.' || id, '') AS topic, partitions, replication_factor, under_replicated,
    offline, internal
FROM kafka_topics(), test_run WHERE topic IN (:'t', :'other') ORDER BY 1;
SELECT count(*) FROM kafka_topics('kafka') WHERE topic = :'t';
SELECT array_agg(topic) = array_agg(topic ORDER BY topic COLLATE "C") AS sorted FROM kafka_topics();

-- Partitions: of one topic, and of all
SELECT partition, leader IS NOT NULL AS has_leader, replicas = ARRAY[leader] AS replicas,
    isr = replicas AS in_sync, low, high, committed_end
FROM kafka_partitions(:'t');
SELECT replace(topic, '.' || id, '') AS topic, partition, high - low AS messages
FROM kafka_partitions(), test_run WHERE topic IN (:'t', :'other');
SELECT count(*) FROM kafka_partitions(topic => NULL, server => 'kafka') WHERE topic = :'t';

-- An end at once shows what was sent.
SELECT kafka_send(:'t', 'x', partition => 2);
SELECT partition, high FROM kafka_partitions(:'t') WHERE partition = 2;

-- Brokers
SELECT b.id = p.leader AS is_leader, b.host || ':' || b.port = :'bootstrap' AS address, b.controller
FROM kafka_brokers() b JOIN kafka_partitions(:'other') p ON true;

-- They are tables as others are: joined, filtered, aggregated, in sub-selects, laterally.
SELECT count(*) AS partitions, sum(p.high - p.low) AS messages
FROM kafka_topics() t CROSS JOIN LATERAL kafka_partitions(t.topic) p JOIN kafka_brokers() b ON b.id = p.leader
WHERE t.topic LIKE topic('look');
SELECT partitions = (SELECT count(*) FROM kafka_partitions(:'t')) AS agree
FROM kafka_topics() WHERE topic = :'t';
SELECT count(*) FROM (SELECT kafka_partitions(:'t')) q;
SELECT count(*) FROM (SELECT * FROM kafka_partitions(:'t') LIMIT 2) q;

-- Settings
SELECT kafka_create_topic(:'settings', 1, config => '{"retention.ms": 3600000, "cleanup.policy": "compact,delete"}');
SELECT name, value, source, is_default, read_only, sensitive FROM kafka_topic_config(:'settings')
WHERE name IN ('cleanup.policy', 'retention.ms', 'preallocate', 'min.compaction.lag.ms') ORDER BY name COLLATE "C";
SELECT bool_and(is_default = (source = 'DEFAULT_CONFIG')) AS defaults, count(*) > 20 AS all_of_them,
    array_agg(name) = array_agg(name ORDER BY name COLLATE "C") AS sorted
FROM kafka_topic_config(:'settings');

-- They are changed one by one: what is not named stays, and null is a reset.
CREATE FUNCTION own(topic text) RETURNS TABLE (name text, value text) LANGUAGE sql
    AS $$ SELECT name, value FROM kafka_topic_config(topic) WHERE source = 'DYNAMIC_TOPIC_CONFIG'
          ORDER BY name COLLATE "C" $$;
SELECT kafka_set_topic_config(:'settings', '{"retention.ms": 7200000, "preallocate": false}');
SELECT * FROM own(:'settings');
SELECT kafka_set_topic_config(:'settings', '{"retention.ms": null, "segment.ms": "600000"}');
SELECT * FROM own(:'settings');
SELECT value <> '3600000' AS reset FROM kafka_topic_config(:'settings') WHERE name = 'retention.ms';
SELECT kafka_set_topic_config(:'settings', '{"retention.ms": null, "min.compaction.lag.ms": null}');   -- is so
SELECT kafka_set_topic_config(:'settings', '{}');
SELECT * FROM own(:'settings');

-- The cluster has a spelling of its own.
SELECT kafka_set_topic_config(:'settings', '{"cleanup.policy": " compact , delete", "preallocate": "TRUE",
    "min.cleanable.dirty.ratio": 0.2500, "segment.ms": null}');
SELECT * FROM own(:'settings');

-- A setting takes effect.
SELECT kafka_set_topic_config(:'settings', '{"cleanup.policy": null, "max.message.bytes": 1000}');
SELECT sqlstate FROM try(format('SELECT kafka_send(%L, repeat(md5(''''), 100))', :'settings'));
SELECT kafka_set_topic_config(:'settings', '{"max.message.bytes": null}');
SELECT kafka_send(:'settings', repeat(md5(''), 100));
SELECT * FROM own(:'settings');

-- What is refused, by us and by the broker; nothing of it is set.
SELECT config, (try(format('SELECT kafka_set_topic_config(%L, %L)', :'settings', config))).*
FROM (VALUES ('[]'), ('"compact"'), ('{"retention.ms": [1]}'), ('{"": "a"}'), ('{"": null}'),
             ('{"retention.ms": 1, "no.such.setting": 1}'), ('{"no.such.setting": null}'),
             (NULL)) v (config)
ORDER BY config COLLATE "C";
SELECT sqlstate, message, detail IS NOT NULL AS detail FROM try(format(
    'SELECT kafka_set_topic_config(%L, ''{"retention.ms": 1, "cleanup.policy": "burn"}'')', :'settings'));
SELECT * FROM own(:'settings');

-- Unknown topics, and names that Kafka does not have
SELECT function, t.sqlstate, t.message, t.hint
FROM unnest('{"* FROM kafka_partitions(%L)","* FROM kafka_topic_config(%L)",
    "kafka_set_topic_config(%L, ''{}'')","kafka_set_topic_config(%L, ''{\"retention.ms\": 1}'')"}'::text[]) function,
    try(format('SELECT ' || function, topic('look.othe'))) t;
SELECT function, sqlstate, message
FROM unnest('{"* FROM kafka_partitions(%L)","* FROM kafka_topic_config(%L)",
    "kafka_set_topic_config(%L, ''{}'')"}'::text[]) function, try(format('SELECT ' || function, 'a b'));
SELECT function, sqlstate, message
FROM unnest('{"* FROM kafka_topic_config(NULL)","kafka_set_topic_config(NULL, ''{}'')",
    "* FROM kafka_group_lag(NULL)"}'::text[]) function, try('SELECT ' || function);

-- Groups: t/041_admin.pl has some. There is none of this name.
SELECT sqlstate, message FROM try(format('SELECT * FROM kafka_group_lag(%L)', topic('look.none')));
SELECT sqlstate, message FROM try($$SELECT * FROM kafka_group_lag('')$$);
SELECT count(*) FROM kafka_groups() WHERE "group" = topic('look.none');

-- To look is allowed in a transaction that may not write; to change is not.
BEGIN READ ONLY;
SELECT count(*) FROM kafka_topics() t, kafka_partitions(t.topic), kafka_brokers(),
    kafka_topic_config(t.topic) c
WHERE t.topic = :'other' AND c.name = 'retention.ms';
SELECT count(*) >= 0 AS groups FROM kafka_groups();
SELECT sqlstate, message FROM try(format('SELECT kafka_set_topic_config(%L, ''{}'')', :'other'));
ROLLBACK;

-- USAGE on the server is all that looking needs.
CREATE ROLE regress_kafka_look;
GRANT SELECT ON test_run TO regress_kafka_look;
SET ROLE regress_kafka_look;
SELECT function, sqlstate, message
FROM unnest('{"kafka_topics(''kafka'')","kafka_partitions(''a'', ''kafka'')","kafka_brokers(''kafka'')",
    "kafka_groups(''kafka'')","kafka_group_lag(''a'', ''kafka'')","kafka_topic_config(''a'', ''kafka'')",
    "kafka_set_topic_config(''a'', ''{}'', ''kafka'')"}'::text[]) function, try('SELECT ' || function);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER kafka TO regress_kafka_look;
SET ROLE regress_kafka_look;
SELECT count(*) FROM kafka_topics() WHERE topic = topic('look');
SELECT count(*) FROM kafka_partitions(topic('look'));
SELECT count(*) > 0 AS settings FROM kafka_topic_config(topic('look'));
SELECT count(*) > 0 AS brokers, count(*) >= 0 AS groups FROM kafka_brokers(), (SELECT count(*) FROM kafka_groups()) g;
SELECT sqlstate FROM try(format('SELECT kafka_group_lag(%L)', topic('look.none')));
SELECT sqlstate, message FROM try(format('SELECT kafka_set_topic_config(%L, ''{}'')', topic('look')));
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER kafka FROM regress_kafka_look;
DROP OWNED BY regress_kafka_look;
DROP ROLE regress_kafka_look;

-- A server may be confined to some topics: the others are not shown, and cannot be asked about.
CREATE SERVER kafka_few FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers :'bootstrap', allowed_topics 'look.other.*');
SELECT replace(topic, '.' || id, '') AS topic FROM kafka_topics('kafka_few'), test_run;
SELECT replace(topic, '.' || id, '') AS topic, partition
FROM kafka_partitions(NULL, 'kafka_few'), test_run;
SELECT function, sqlstate, message
FROM unnest('{"* FROM kafka_partitions(%L, ''kafka_few'')","* FROM kafka_topic_config(%L, ''kafka_few'')",
    "kafka_set_topic_config(%L, ''{}'', ''kafka_few'')"}'::text[]) function,
    try(format('SELECT ' || function, :'t'));
DROP SERVER kafka_few;

-- A server that reads the uncommitted shows the same ends.
CREATE SERVER kafka_dirty FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers :'bootstrap', isolation_level 'read_uncommitted');
SELECT partition, high, committed_end FROM kafka_partitions(:'t', 'kafka_dirty');
DROP SERVER kafka_dirty;

-- No broker. (What the connection said, which is the DETAIL, may come after the short time is over.)
CREATE SERVER kafka_down FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers '127.0.0.1:1', metadata_timeout '300ms');
SELECT function, sqlstate, message, left(hint, 24) AS hint
FROM unnest('{"kafka_topics(''kafka_down'')","kafka_partitions(NULL, ''kafka_down'')",
    "kafka_partitions(''a'', ''kafka_down'')","kafka_brokers(''kafka_down'')","kafka_groups(''kafka_down'')",
    "kafka_group_lag(''a'', ''kafka_down'')","kafka_topic_config(''a'', ''kafka_down'')",
    "kafka_set_topic_config(''a'', ''{}'', ''kafka_down'')"}'::text[]) function, try('SELECT ' || function);
DROP SERVER kafka_down;

SELECT kafka_delete_topic(:'t'), kafka_delete_topic(:'other'), kafka_delete_topic(:'settings');
DROP FUNCTION own;
