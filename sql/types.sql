-- Columns of every kind: which types a message's key and value are read as and sent from, NULL
-- against empty, and the parts that Kafka adds.
SET timezone = 'UTC';
SET client_min_messages = warning;
SELECT topic('types') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE types_bytes (
    partition int, "offset" bigint, key bytea, value bytea
) SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE types_text (
    partition int, "offset" bigint, key text, value text
) SERVER kafka OPTIONS (topic :'t');

-- NULL and empty are two things, in both directions.
INSERT INTO types_bytes (key, value) VALUES ('k', 'v'), ('', ''), (NULL, ''), ('', NULL), ('k', NULL);
SELECT "offset", key, key IS NULL AS no_key, value, value IS NULL AS tombstone
    FROM types_bytes ORDER BY "offset";
SELECT "offset", key, key IS NULL AS no_key, value, value IS NULL AS tombstone
    FROM types_text ORDER BY "offset";
INSERT INTO types_text (key, value) VALUES ('k', 'v'), ('', ''), (NULL, ''), ('', NULL), ('k', NULL);
SELECT count(*) FROM types_text a JOIN types_text b
    ON b."offset" = a."offset" + 5 AND a.key IS NOT DISTINCT FROM b.key
    AND a.value IS NOT DISTINCT FROM b.value;
-- A tombstone deletes a key, so it must have one.
SELECT sqlstate, message, detail, context FROM try($$
    INSERT INTO types_text (key, value) VALUES ('a', 'b'), (NULL, NULL) $$);

-- A key and a value may be of any type: what a table with a value of that type shows of some bytes.
CREATE FUNCTION read_as(type text, payload bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    at bigint;
    result text;
BEGIN
    INSERT INTO types_bytes (value) VALUES (payload) RETURNING "offset" INTO at;
    EXECUTE format('CREATE FOREIGN TABLE types_any (partition int, "offset" bigint, value %s)
                    SERVER kafka OPTIONS (topic %L)', type, topic('types'));
    EXECUTE 'SELECT value::text FROM types_any WHERE partition = 0 AND "offset" = $1'
        INTO STRICT result USING at;
    DROP FOREIGN TABLE types_any;
    RETURN result;
END $$;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE point3 AS (x int, y text, z bytea);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN some_bytes AS bytea CHECK (octet_length(VALUE) < 4);
CREATE DOMAIN some_text AS varchar(5) CHECK (VALUE <> 'bad');
CREATE DOMAIN given_text AS text NOT NULL;
SELECT n, type, read_as(type, convert_to(payload, 'UTF8')) FROM (VALUES
    (1, 'text', 'Grüße'), (2, 'varchar', 'Grüße'), (3, 'varchar(5)', 'Grüße'),
    (4, 'varchar(5)', 'Grüße   '), (5, 'char(7)', 'Grüße'), (6, 'name', 'Grüße'), (7, '"char"', 'x'),
    (8, 'json', '{"b": 1,  "a": "é"}'), (9, 'jsonb', '{"b": 1,  "a": "é"}'), (10, 'jsonb', 'null'),
    (11, 'int2', '-7'), (12, 'int4', ' 42 '), (13, 'int8', '9223372036854775807'),
    (14, 'numeric(6,2)', '3.14159'), (15, 'float8', '1e-5'), (16, 'bool', 'yes'),
    (17, 'uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'), (18, 'date', '2024-02-29'),
    (19, 'timestamptz', '2024-02-29T12:00:00+01:00'), (20, 'interval', '1 day 2 hours'),
    (21, 'inet', '10.0.0.1/8'), (22, 'mood', 'happy'), (23, 'int[]', '{1,2,NULL}'),
    (24, 'text[][]', '{{a,b},{c,"d e"}}'), (25, 'point3', '(1,"a b","\\x0102")'),
    (26, 'positive', '5'), (27, 'some_text', 'good'), (28, 'given_text', ''),
    (29, 'int4range', '[1,5]'), (30, 'tsvector', 'a b'), (31, 'bit(3)', '101'), (32, 'xid8', '7')
    ) AS v (n, type, payload) ORDER BY n;
-- bytea, and a domain over it, has the bytes, whatever they look like.
SELECT type, payload, read_as(type, payload) FROM (VALUES
    ('bytea', '\x00ff'::bytea), ('bytea', '\x5c7831'::bytea), ('bytea', ''::bytea),
    ('some_bytes', '\x00ff'::bytea), ('some_bytes', '\x5c78'::bytea)) AS v (type, payload);
-- What a type refuses is an error of its own class that names the place.
CREATE FUNCTION refused(type text, payload bytea, OUT sqlstate text, OUT message text) LANGUAGE sql
    AS $$ SELECT sqlstate, message FROM try(format('SELECT read_as(%L, %L)', type, payload)) $$;
SELECT v.*, r.* FROM (VALUES
    ('varchar(5)', 'abcdef'::bytea), ('char(3)', 'abcd'), ('int2', '32768'), ('int4', 'x'), ('int4', ''),
    ('jsonb', '{'), ('jsonb', ''), ('json', '{"a"}'), ('numeric(3,1)', '100'), ('date', '2023-02-29'), ('mood', 'cross'),
    ('int[]', '{1,x}'), ('point3', '(1)'), ('positive', '0'), ('some_bytes', '\x01020304'),
    ('some_text', 'bad'), ('some_text', 'too long'), ('uuid', 'a'), ('bit(3)', '1')) AS v (type, payload),
    LATERAL refused(type, payload) r;
SELECT topic('types.bad') AS bad \gset
SELECT kafka_create_topic(:'bad', 1);
CREATE FOREIGN TABLE types_bad (value int) SERVER kafka OPTIONS (topic :'bad');
SELECT kafka_send(:'bad', '1'), kafka_send(:'bad', 'one');
SELECT sqlstate, message, context FROM try('SELECT value FROM types_bad');
-- A column that nothing asks for is not made.
SELECT count(*) FROM types_bad;
-- A NULL is no text to be read, but a domain may forbid it.
CREATE FOREIGN TABLE types_null (key positive, value given_text)
    SERVER kafka OPTIONS (topic :'bad', start_offset '2');
SELECT kafka_send(:'bad', NULL::text, '7');
SELECT key FROM types_null;
SELECT sqlstate, message, context FROM try('SELECT value FROM types_null');

-- Sending: the bytes that a value of each type becomes. The session's formats do not matter.
CREATE FUNCTION sent_as(type text, expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    at bigint;
    result bytea;
BEGIN
    EXECUTE format('CREATE FOREIGN TABLE types_any ("offset" bigint, key text, value %s)
                    SERVER kafka OPTIONS (topic %L)', type, topic('types'));
    EXECUTE format('INSERT INTO types_any (value) VALUES (%s) RETURNING "offset"', expression) INTO at;
    SELECT value INTO STRICT result FROM types_bytes WHERE partition = 0 AND "offset" = at;
    DROP FOREIGN TABLE types_any;
    RETURN encode(result, 'escape');
END $$;
SET datestyle = 'German';
SET intervalstyle = 'iso_8601';
SET extra_float_digits = -10;
SET bytea_output = 'escape';
SELECT n, type, sent_as(type, expression) FROM (VALUES
    (1, 'text', $$'Grüße'$$), (2, 'char(4)', $$'ab'$$), (3, 'json', $$'{"b": 1,  "a": 2}'$$),
    (4, 'jsonb', $$'{"b": 1,  "a": 2}'$$), (5, 'bytea', $$'\x00ff'::bytea$$),
    (6, 'some_bytes', $$'\x00ff'::bytea$$), (7, 'float8', '0.1::float8 + 0.2'), (8, 'date', $$'1.2.2024'$$),
    (9, 'timestamptz', $$'2024-02-29 12:00:00.5+01'$$), (10, 'interval', $$'P1DT2H'$$),
    (11, 'int[]', 'ARRAY[1,NULL]'), (12, 'point3', $$ROW(1, 'a b', '\x0102')$$),
    (13, 'float8[]', 'ARRAY[0.1::float8 + 0.2]'), (14, 'mood', $$'sad'$$), (15, 'regclass', $$'types_bytes'$$),
    (16, 'bool', 'true'), (17, 'numeric', '1.50'), (18, 'positive', '3')
    ) AS v (n, type, expression) ORDER BY n;
SELECT md5(sent_as('text', $$repeat('long', 100000)$$)) = md5(repeat('long', 100000)) AS long_text;
SHOW datestyle;
RESET datestyle;
RESET intervalstyle;
RESET extra_float_digits;
RESET bytea_output;

-- A value of a megabyte among small ones.
SELECT topic('types.large') AS large \gset
SELECT kafka_create_topic(:'large', 1);
CREATE FOREIGN TABLE types_large ("offset" bigint, value text) SERVER kafka OPTIONS (topic :'large');
INSERT INTO types_large (value)
    SELECT CASE WHEN n % 3 = 0 THEN repeat(chr(96 + n), 300000 * n / 3) ELSE 'small' END
    FROM generate_series(1, 9) n;
SELECT "offset", left(value, 5), length(value) FROM types_large ORDER BY "offset";

-- The parts that Kafka adds, in every type that they may have.
SELECT topic('types.parts') AS parts, topic('types.append') AS append \gset
SELECT kafka_create_topic(:'append', 1, config => '{"message.timestamp.type": "LogAppendTime"}');
SELECT kafka_create_topic(:'parts', 2, config => '{"retention.ms": "-1"}');
CREATE FOREIGN TABLE types_parts (
    topic text, partition int, "offset" bigint, "timestamp" timestamptz, timestamp_type text, key text,
    value text, headers jsonb
) SERVER kafka OPTIONS (topic :'parts');
INSERT INTO types_parts (partition, "timestamp", value) VALUES
    (0, '1970-01-01 00:00:00.0019Z', 'first ms'), (0, '2024-02-29 12:00:00.123456Z', 'cut to ms'),
    (1, '1999-12-31 23:59:59.9999Z', 'cut, not rounded')
    RETURNING topic = topic('types.parts') AS topic, partition, "offset", "timestamp", timestamp_type, value;
SELECT topic = topic('types.parts') AS topic, partition, "offset", "timestamp", timestamp_type, key, value, headers
    FROM types_parts ORDER BY partition, "offset";
CREATE FOREIGN TABLE types_small (
    n varchar(100) OPTIONS (topic 'true'), p smallint OPTIONS (partition 'true'), o int OPTIONS ("offset" 'true'),
    t timestamptz(0) OPTIONS ("timestamp" 'true'), tt varchar OPTIONS (timestamp_type 'true'), k text OPTIONS (key 'true'),
    v text OPTIONS (value 'true'), h jsonb OPTIONS (headers 'true')
) SERVER kafka OPTIONS (topic :'parts');
SELECT n = :'parts' AS n, p, o, t, tt, k, v, h FROM types_small ORDER BY p, o;
-- What is shown is what conditions are about, rounded or not.
SELECT v FROM types_small WHERE t = '2000-01-01 00:00:00Z';
CREATE FOREIGN TABLE types_appended ("timestamp" timestamptz, timestamp_type text, value text)
    SERVER kafka OPTIONS (topic :'append');
INSERT INTO types_appended ("timestamp", value) VALUES ('2001-01-01', 'v')
    RETURNING "timestamp" > '2020-01-01' AS by_broker, timestamp_type;
SELECT "timestamp" > '2020-01-01' AS by_broker, timestamp_type FROM types_appended;
-- The whole row, single columns, none, and columns that were dropped.
SELECT r.p, r.v, (r.*)::text LIKE '%first ms%' AS whole FROM types_small r WHERE p = 0 AND o = 0;
ALTER FOREIGN TABLE types_small DROP COLUMN o, DROP COLUMN n;
ALTER FOREIGN TABLE types_small ADD COLUMN again bigint OPTIONS ("offset" 'true');
SELECT * FROM types_small ORDER BY p, again;
INSERT INTO types_small (v, p) VALUES ('after', 1) RETURNING p, t IS NOT NULL AS sent, tt, k, v, h, again;
SELECT count(*) FROM types_small;
SELECT v FROM types_small WHERE k IS NULL AND p = 1 ORDER BY again;

-- What cannot be sent.
SELECT r.sqlstate, r.message, r.detail, r.hint, r.context FROM (VALUES
    (1, $$("offset", value) VALUES (1, 'x')$$), (2, $$(timestamp_type, value) VALUES ('create', 'x')$$),
    (3, $$(topic, value) VALUES ('another', 'x')$$), (4, $$(partition, value) VALUES (-1, 'x')$$),
    (5, $$("timestamp", value) VALUES ('infinity', 'x')$$), (6, $$("timestamp", value) VALUES ('-infinity', 'x')$$),
    (7, $$("timestamp", value) VALUES ('1969-12-31 23:59:59.999Z', 'x')$$),
    (8, $$(value) VALUES ('stored'), (NULL)$$)) AS v (n, what),
    LATERAL try('INSERT INTO types_parts ' || what) r ORDER BY n;
INSERT INTO types_parts (topic, partition, value) VALUES (:'parts', 0, 'its own topic') RETURNING value;
-- Two columns for one part: either may be given, not both.
CREATE FOREIGN TABLE types_two (value text, bytes bytea OPTIONS (value 'true'))
    SERVER kafka OPTIONS (topic :'parts', start_offset '-1');
INSERT INTO types_two (value) VALUES ('as text');
INSERT INTO types_two (bytes) VALUES ('as bytes');
SELECT sqlstate, message, hint FROM try($$INSERT INTO types_two VALUES ('a', 'b')$$);
CREATE FOREIGN TABLE types_no_value (key text, headers jsonb) SERVER kafka OPTIONS (topic :'parts');
SELECT sqlstate, message, detail FROM try($$INSERT INTO types_no_value VALUES ('a')$$);
-- A part cannot have every type.
CREATE FOREIGN TABLE types_wrong (partition text, value text) SERVER kafka OPTIONS (topic :'parts');
SELECT sqlstate, message FROM try('SELECT * FROM types_wrong');
