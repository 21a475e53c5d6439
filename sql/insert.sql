-- INSERT, COPY FROM and routing: rows become messages, and the statement ends with all of them
-- acknowledged.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
-- Point a foreign table at a topic, and explain, free of the run's names.
CREATE FUNCTION set_topic(relation regclass, topic text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER FOREIGN TABLE %s OPTIONS (%s topic %L)', relation,
        CASE WHEN EXISTS (SELECT FROM pg_foreign_table
                          WHERE ftrelid = relation AND ftoptions::text ~ 'topic=') THEN 'SET' ELSE 'ADD' END,
        topic);
END $$;
CREATE FUNCTION explain(options text, statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE format('EXPLAIN (%s) %s', options, statement) LOOP
        RETURN NEXT replace(line, '.' || (SELECT id FROM test_run), '');
    END LOOP;
END $$;
SELECT topic('insert') AS t \gset
SELECT kafka_create_topic(:'t', 3);
CREATE FOREIGN TABLE log (
    partition int, "offset" bigint, "timestamp" timestamptz, key text, value text, headers jsonb
) SERVER kafka;
SELECT set_topic('log', :'t');

-- Many rows in one statement; none is lost, none comes twice.
INSERT INTO log (key, value) SELECT 'k' || i, i FROM generate_series(1, 20000) i;
SELECT count(*), count(DISTINCT value), sum(value::int), count(DISTINCT partition) FROM log;
-- A partition that is given is used, and keeps the order.
SELECT topic('insert_parts') AS p \gset
SELECT kafka_create_topic(:'p', 3);
SELECT set_topic('log', :'p');
INSERT INTO log (partition, value) SELECT i % 3, i FROM generate_series(0, 8) i;
SELECT partition, array_agg(value ORDER BY "offset") FROM log GROUP BY partition ORDER BY partition;

-- RETURNING tells where each row went.
INSERT INTO log (partition, key, value, "timestamp", headers)
    VALUES (0, 'k', 'v', '2020-02-02 02:02:02.020202+00', '{"h": "1"}'), (1, NULL, '', NULL, NULL)
    RETURNING partition, "offset", "timestamp" < '2021-01-01' AS old, key, value, headers,
        tableoid::regclass;
WITH sent AS (INSERT INTO log (partition, value) SELECT 2, i FROM generate_series(1, 3) i RETURNING *)
    SELECT min("offset"), max("offset"), count(*) FROM sent;
INSERT INTO log (partition, value) VALUES (2, 'x') RETURNING "timestamp" > now() - interval '1 min' AS recent;
WITH sent AS (INSERT INTO log (partition, value) VALUES (2, 'from a CTE')) SELECT 1;
SELECT value FROM log WHERE partition = 2 AND "offset" = 7;

-- NULL, empty, and both.
INSERT INTO log (partition, key, value) VALUES (1, '', ''), (1, 'gone', NULL), (1, '', NULL);
SELECT key, value, key IS NULL AS no_key, value IS NULL AS tombstone
    FROM log WHERE partition = 1 AND "offset" >= 4 ORDER BY "offset";

-- What cannot be sent.
SELECT sqlstate, message, detail, hint FROM try($$INSERT INTO log (value) VALUES (NULL)$$);
SELECT sqlstate, message FROM try($$INSERT INTO log ("offset", value) VALUES (1, 'x')$$);
SELECT sqlstate, message FROM try($$INSERT INTO log (partition, value) VALUES (-1, 'x')$$);
SELECT sqlstate, message, detail, hint FROM try($$INSERT INTO log (partition, value) VALUES (3, 'x')$$);
SELECT sqlstate, message FROM try($$INSERT INTO log ("timestamp", value) VALUES ('infinity', 'x')$$);
SELECT sqlstate, message, detail FROM try($$INSERT INTO log (partition, value) VALUES (0, repeat('x', 2000000))$$);
-- The row that failed is named, and what became of the others said (each row waits here).
SELECT sqlstate, message, detail FROM
    try($$INSERT INTO log (partition, value) VALUES (0, 'stored'), (0, 'stored'), (9, 'x'), (0, 'never') RETURNING 1$$);
SELECT sqlstate, message, context FROM
    try($$INSERT INTO log (partition, value) VALUES (0, 'stored'), (0, NULL), (0, 'never') RETURNING 1$$);
SELECT topic('insert_small') AS s \gset
SELECT kafka_create_topic(:'s', 1, config => '{"max.message.bytes": "1000"}');
CREATE FOREIGN TABLE small ("offset" bigint, value text) SERVER kafka;
SELECT set_topic('small', :'s');
SELECT sqlstate, message, detail, hint FROM
    try($$INSERT INTO small (value) VALUES ('stored'), (repeat('x', 2000)), ('never') RETURNING 1$$);
SELECT * FROM small;
SELECT value, count(*) FROM log WHERE value IN ('stored', 'never') GROUP BY value;
-- Nobody holds a producer after all these errors, and the next statement works.
SELECT count(*) FROM kafka_connections WHERE in_use;
INSERT INTO small (value) VALUES ('next') RETURNING *;
-- An unknown topic.
CREATE FOREIGN TABLE nowhere (value text) SERVER kafka;
SELECT set_topic('nowhere', topic('insert_nowhere'));
SELECT sqlstate, message FROM try($$INSERT INTO nowhere VALUES ('x')$$);
INSERT INTO nowhere SELECT 'x' WHERE false;

-- Refusals.
SELECT sqlstate, message, detail, hint FROM try($$UPDATE log SET value = 'x'$$);
SELECT sqlstate, message, detail, hint FROM try($$DELETE FROM log$$);
SELECT sqlstate, message FROM try($$TRUNCATE log$$);
SELECT sqlstate, message, detail, hint FROM try($$INSERT INTO log (value) VALUES ('x') ON CONFLICT DO NOTHING$$);
SELECT sqlstate, message FROM try($$INSERT INTO log (value) VALUES ('x') ON CONFLICT (key) DO UPDATE SET value = 'x'$$);
ALTER FOREIGN TABLE small OPTIONS (ADD updatable 'false');
SELECT sqlstate, message FROM try($$INSERT INTO small (value) VALUES ('x')$$);
SELECT sqlstate, message FROM try($$COPY small (value) FROM PROGRAM 'echo x'$$);
SELECT is_insertable_into, table_name FROM information_schema.tables
    WHERE table_name IN ('log', 'small') ORDER BY table_name;
ALTER FOREIGN TABLE small OPTIONS (SET updatable 'true');
BEGIN READ ONLY;
SELECT sqlstate, message FROM try($$INSERT INTO small (value) VALUES ('x')$$);
SELECT sqlstate, message FROM try($$COPY small (value) FROM PROGRAM 'echo x'$$);
ROLLBACK;

-- EXPLAIN contacts nobody; EXPLAIN ANALYZE sends.
SELECT explain('COSTS OFF', $$INSERT INTO nowhere VALUES ('x')$$);
ALTER FOREIGN TABLE nowhere OPTIONS (ADD insert_batch_size '7');
SELECT explain('COSTS OFF', $$INSERT INTO nowhere VALUES ('x')$$);
SELECT explain('COSTS OFF', $$INSERT INTO nowhere VALUES ('x') RETURNING value$$);
SELECT plan->0->'Plan'->'Kafka Topic' AS topic, plan->0->'Plan'->'Kafka Batch Size' AS batch_size
    FROM (SELECT explain('COSTS OFF, FORMAT JSON', $$INSERT INTO nowhere VALUES ('x')$$)::json AS plan) s;
SELECT set_topic('small', :'s');
SELECT count(*) > 0 AS explained FROM explain('ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF',
    $$INSERT INTO small (value) SELECT 'analyzed' FROM generate_series(1, 3)$$);
SELECT count(*) FROM small WHERE value = 'analyzed';

-- A batch size of one, and one larger than the statement.
ALTER FOREIGN TABLE small OPTIONS (ADD insert_batch_size '1');
INSERT INTO small (value) SELECT 'one' FROM generate_series(1, 10);
ALTER FOREIGN TABLE small OPTIONS (SET insert_batch_size '3');
INSERT INTO small (value) SELECT 'three' FROM generate_series(1, 10);
ALTER FOREIGN TABLE small OPTIONS (SET insert_batch_size '10000');
INSERT INTO small (value) SELECT 'many' FROM generate_series(1, 10);
SELECT value, count(*) FROM small WHERE value IN ('one', 'three', 'many') GROUP BY value ORDER BY value;

-- A cached plan follows ALTER.
SELECT topic('insert_a') AS a, topic('insert_b') AS b \gset
SELECT kafka_create_topic(:'a', 1), kafka_create_topic(:'b', 1);
SELECT set_topic('small', :'a');
SET plan_cache_mode = force_generic_plan;
PREPARE send(text) AS INSERT INTO small (value) VALUES ($1) RETURNING "offset";
EXECUTE send('a');
EXECUTE send('a');
SELECT set_topic('small', :'b');
EXECUTE send('b');
RESET plan_cache_mode;
SELECT (SELECT count(*) FROM kafka_read(:'a')) AS a, (SELECT count(*) FROM kafka_read(:'b')) AS b;

-- COPY FROM; a ROLLBACK does not unsend it.
SELECT topic('insert_copy') AS c \gset
SELECT kafka_create_topic(:'c', 1);
SELECT set_topic('log', :'c');
COPY log (key, value) FROM STDIN;
k	v
\N	no key
gone	\N
\.
BEGIN;
COPY log (value, headers) FROM STDIN (FORMAT csv);
csv,"{""h"": ""1""}"
\.
ROLLBACK;
SELECT "offset", key, value, headers FROM log ORDER BY "offset";
-- A row that cannot be sent ends the statement; what comes after it is not sent.
SELECT sqlstate, message, context FROM
    try($$COPY log (key, value) FROM PROGRAM 'printf "sent\tbefore\n\\N\t\\N\nnever\tsent\n"'$$);
SELECT count(*) FROM log WHERE key = 'never';
COPY small (value) FROM PROGRAM 'seq 1 30000';
SELECT count(*), sum(value::int) FROM small WHERE value ~ '^[0-9]+$';

-- Row triggers: BEFORE changes the row or drops it, AFTER sees where it went.
SELECT topic('insert_trig') AS g \gset
SELECT kafka_create_topic(:'g', 1);
SELECT set_topic('log', :'g');
CREATE TABLE seen (what text, partition int, "offset" bigint, value text);
CREATE FUNCTION before_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.value = 'drop me' THEN
        RETURN NULL;
    END IF;
    NEW.value := upper(NEW.value);
    RETURN NEW;
END $$;
CREATE FUNCTION after_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen VALUES (TG_WHEN || ' ' || TG_LEVEL, NEW.partition, NEW."offset", NEW.value);
    RETURN NULL;
END $$;
CREATE TRIGGER before_row BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION before_row();
INSERT INTO log (value) VALUES ('a'), ('drop me'), ('b');
CREATE TRIGGER after_row AFTER INSERT ON log FOR EACH ROW EXECUTE FUNCTION after_row();
INSERT INTO log (value) VALUES ('c'), ('drop me'), ('d');
INSERT INTO log (value) VALUES ('e') RETURNING "offset", value;
COPY log (value) FROM STDIN;
f
drop me
g
\.
SELECT * FROM seen ORDER BY "offset";
SELECT "offset", value FROM log ORDER BY "offset";
DROP TRIGGER before_row ON log;
DROP TRIGGER after_row ON log;
-- A trigger that sends needs a producer of its own. What it fails to send, and gets over, takes
-- nothing from the statement that it is part of.
SELECT topic('insert_audit') AS u \gset
SELECT kafka_create_topic(:'u', 1);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM kafka_send(topic('insert_audit'), NEW.value, server => 'kafka');
    BEGIN
        PERFORM kafka_send(topic('insert_audit'), NEW.value, partition => 1, server => 'kafka');
    EXCEPTION WHEN numeric_value_out_of_range THEN
        NULL;
    END;
    RETURN NEW;
END $$;
CREATE TRIGGER audit BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION audit();
INSERT INTO log (value) SELECT 'row ' || i FROM generate_series(1, 5) i;
SELECT array_agg(value ORDER BY "offset") FROM kafka_read(:'u');
SELECT array_agg(value ORDER BY "offset") FROM log WHERE value ~ 'row';
DROP TRIGGER audit ON log;
SELECT count(*) FROM kafka_connections WHERE in_use;

-- Views: a row that its view would not show is not sent.
CREATE VIEW zero AS SELECT * FROM log WHERE partition = 0 AND value <> 'bad' WITH CHECK OPTION;
INSERT INTO zero (partition, value) VALUES (0, 'good') RETURNING value;
SELECT sqlstate, message FROM try($$INSERT INTO zero (partition, value) VALUES (0, 'bad')$$);
SELECT value, count(*) FROM log WHERE value IN ('good', 'bad') GROUP BY value;
SELECT sqlstate, message FROM try($$UPDATE zero SET value = 'x'$$);
DROP VIEW zero;

-- Headers in both types, keys and values of others; a default and a generated column.
SELECT topic('insert_types') AS y \gset
SELECT kafka_create_topic(:'y', 1);
CREATE FOREIGN TABLE typed (
    "offset" bigint, key int, value jsonb DEFAULT '{"default": true}', headers kafka_header[]
) SERVER kafka;
SELECT set_topic('typed', :'y');
INSERT INTO typed (key, headers) VALUES (1, ARRAY[('a', '\x00')::kafka_header, ('a', NULL)::kafka_header]);
INSERT INTO typed (key, value) VALUES (2, '[1, 2]');
CREATE FOREIGN TABLE generated (
    key text, value text GENERATED ALWAYS AS ('made of ' || key) STORED
) SERVER kafka;
SELECT set_topic('generated', :'y');
INSERT INTO generated (key) VALUES ('3'), ('4');
SELECT "offset", key, value, headers FROM kafka_read(:'y') ORDER BY "offset";
SELECT "offset", key, value, headers FROM typed WHERE "offset" < 2 ORDER BY "offset";

-- Partitioned tables: rows are routed into foreign partitions, which share one producer.
SELECT topic('insert_p1') AS p1, topic('insert_p2') AS p2 \gset
SELECT kafka_create_topic(:'p1', 1), kafka_create_topic(:'p2', 1);
CREATE TABLE events (id int, key text, value text) PARTITION BY LIST (key);
CREATE TABLE events_local PARTITION OF events FOR VALUES IN ('local');
ALTER TABLE events DROP COLUMN id;
CREATE FOREIGN TABLE events_1 PARTITION OF events FOR VALUES IN ('one') SERVER kafka;
CREATE FOREIGN TABLE events_2 (value text, key text) SERVER kafka;
ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES IN ('two');
SELECT set_topic('events_1', :'p1');
SELECT set_topic('events_2', :'p2');
SELECT kafka_disconnect() >= 0 AS closed;
INSERT INTO events SELECT (ARRAY['one', 'two', 'local'])[1 + i % 3], i FROM generate_series(0, 8) i;
SELECT kind, uses FROM kafka_connections WHERE server = 'kafka';
SELECT array_agg(value ORDER BY "offset") FROM kafka_read(:'p1');
SELECT array_agg(value ORDER BY "offset") FROM kafka_read(:'p2');
SELECT array_agg(value ORDER BY value) FROM events_local;
COPY events (key, value) FROM STDIN;
one	copied
two	copied
local	copied
\.
INSERT INTO events (key, value) VALUES ('two', 'returned'), ('local', 'returned')
    RETURNING tableoid::regclass, key, value;
-- An UPDATE that moves a row there.
UPDATE events_local SET value = 'stays' WHERE value = '2';
SELECT sqlstate, message, hint FROM try($$UPDATE events SET key = 'one' WHERE value = 'copied'$$);
SELECT sqlstate, message, hint FROM try($$UPDATE events SET key = 'one' WHERE value = 'copied' AND key = 'one'$$);
UPDATE events SET key = 'two', value = 'moved' WHERE value = 'copied' AND key = 'local';
SELECT sqlstate, message FROM try($$INSERT INTO events (key, value) VALUES ('two', 'x') ON CONFLICT DO NOTHING$$);
SELECT sqlstate, message FROM try($$INSERT INTO events (key, value) VALUES ('local', 'x') ON CONFLICT DO NOTHING$$);
SELECT array_agg(value ORDER BY "offset") FROM kafka_read(:'p1');
SELECT array_agg(value ORDER BY "offset") FROM kafka_read(:'p2');
SELECT array_agg(value ORDER BY value) FROM events_local;
SELECT sqlstate, message, detail FROM try($$INSERT INTO events (key, value)
    VALUES ('one', 'stored'), ('local', 'rolled back'), ('two', repeat('x', 2000000)) RETURNING 1$$);
-- A transition table of the partitioned table cannot have them; nothing is sent.
CREATE FUNCTION after_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING 'new rows: %', (SELECT string_agg(key || ' ' || value, ', ' ORDER BY value) FROM new_rows);
    RETURN NULL;
END $$;
CREATE TRIGGER after_statement AFTER INSERT ON events REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION after_statement();
SELECT sqlstate, message FROM try($$INSERT INTO events (key, value) VALUES ('one', 'never')$$);
INSERT INTO events (key, value) VALUES ('local', 'c');
SELECT count(*) FROM kafka_read(:'p1') WHERE value = 'never';

DROP TABLE events, seen;
DROP FUNCTION set_topic(regclass, text), explain(text, text), after_statement(), before_row(), after_row(), audit();
DROP FOREIGN TABLE log, small, nowhere, typed, generated;
