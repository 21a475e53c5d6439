-- Format csv: a message is a row, and columns are its fields. (COPY as the measure of it: t/053_csv.pl.)
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SELECT topic('csv') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE csv_raw (key text, value text, headers jsonb, "offset" bigint)
    SERVER kafka OPTIONS (topic :'t');

----------------------------------------------------------------------
-- Reading
----------------------------------------------------------------------

-- Fields go to columns by their order; parts of the message, given by their options, do not count, nor
-- do columns that were dropped. A column's name says nothing.
CREATE FOREIGN TABLE csv_log (
    dropped text,
    o bigint OPTIONS ("offset" 'true'),
    id int,
    k text OPTIONS (key 'true'),
    value text,
    day date,
    h jsonb OPTIONS (headers 'true'),
    "offset" float8
) SERVER kafka OPTIONS (topic :'t', format 'csv');
ALTER FOREIGN TABLE csv_log DROP COLUMN dropped;
INSERT INTO csv_raw (key, value, headers) VALUES
    ('k0', '1,plain,2024-02-29,1.5', '{"h": "x"}'),
    (NULL, '2,"quoted, with ""quotes""",2024-03-01,-1e3', NULL),
    (NULL, E'3,"two\nlines",,', NULL),
    (NULL, '4,"",,', NULL),
    (NULL, E'5,with a line end,2024-03-01,0\n', NULL),
    (NULL, E'6,with another,2024-03-01,0\r\n', NULL),
    (NULL, '7,half "quo"ted, 2024-03-02 , 0.1 ', NULL),
    (NULL, '8', NULL),
    (NULL, '9,too many,2024-03-03,1,and more,"and more"', NULL),
    (NULL, '', NULL),
    ('gone', NULL, NULL);
SELECT * FROM csv_log;
SELECT o, value IS NULL AS is_null, value = '' AS is_empty FROM csv_log WHERE o IN (2, 3, 9, 10);
-- Only what is asked for is decoded: here nothing, here a field before the one that is bad.
INSERT INTO csv_raw (value) VALUES ('10,x,no date'), ('11,"open');
SELECT count(*) FROM csv_log;
SELECT id FROM csv_log WHERE o > 10;
-- What is wrong says where.
SELECT sqlstate, message, detail, context FROM try('SELECT day FROM csv_log WHERE o = 11');
SELECT sqlstate, message, detail, context FROM try('SELECT value FROM csv_log WHERE o = 12');
INSERT INTO csv_raw (value) VALUES (E'12,a\nb'), (E'13,a\rb'), (E'14,a\n\n');
SELECT o, e.* FROM generate_series(13, 15) o,
    try(format('SELECT value FROM csv_log WHERE o = %s', o)) e;

-- strict: as many fields as columns. A tombstone has none, and is no fault.
SELECT topic('csv.strict') AS strict \gset
SELECT kafka_create_topic(:'strict', 1);
CREATE FOREIGN TABLE csv_strict (a text, b int, o int OPTIONS ("offset" 'true'))
    SERVER kafka OPTIONS (topic :'strict', format 'csv', strict 'true');
ALTER FOREIGN TABLE csv_raw OPTIONS (SET topic :'strict');
INSERT INTO csv_raw (key, value) VALUES (NULL, 'x,1'), (NULL, 'x'), (NULL, 'x,1,'), (NULL, ''), ('k', NULL),
    (NULL, 'x,1,"');
SELECT o, e.* FROM generate_series(0, 5) o,
    try(format('SELECT a, b FROM csv_strict WHERE o = %s', o)) e;
SELECT o, e.sqlstate, e.message FROM generate_series(0, 5) o,
    try(format('SELECT a FROM csv_strict WHERE o = %s', o)) e;
SELECT a, b FROM csv_strict WHERE o IN (0, 4);
SELECT count(*) FROM csv_strict;
ALTER FOREIGN TABLE csv_strict OPTIONS (SET strict 'false');
SELECT * FROM csv_strict WHERE o < 5;

-- COPY's options
SELECT topic('csv.options') AS options \gset
SELECT kafka_create_topic(:'options', 1);
ALTER FOREIGN TABLE csv_raw OPTIONS (SET topic :'options');
CREATE FOREIGN TABLE csv_options (a text, b text, c text)
    SERVER kafka OPTIONS (topic :'options', format 'csv', delimiter ';', quote '''', escape '\', null 'NULL');
INSERT INTO csv_raw (value) VALUES ('a,b;"c";d'), ('''a;b'';''it\''s'';''back\\slash'''), ('NULL;''NULL'';'),
    ('''x''''y'';\''z'';NULL ');
SELECT * FROM csv_options;
INSERT INTO csv_options VALUES ('NULL', NULL, ''), ('a;b', 'it''s', 'a\b'), (E'a\nb', '"', ',');
SELECT value FROM csv_raw WHERE "offset" > 3;
SELECT * FROM csv_options OFFSET 4;
ALTER FOREIGN TABLE csv_options OPTIONS (SET delimiter E'\t', DROP quote, DROP escape, SET null '\N');
INSERT INTO csv_options VALUES ('\N', NULL, E'a\tb');
SELECT value FROM csv_raw WHERE "offset" = 7;

CREATE FOREIGN TABLE csv_force (
    a text, b text OPTIONS (force_null 'true'), c text OPTIONS (force_not_null 'true'),
    d text OPTIONS (force_null 'true', force_not_null 'true'), o int OPTIONS ("offset" 'true')
) SERVER kafka OPTIONS (topic :'options', format 'csv');
INSERT INTO csv_raw (value) VALUES (',,,'), ('"","","",""');
SELECT a, b, c, d, a IS NULL AS a_null, b IS NULL AS b_null, c IS NULL AS c_null, d IS NULL AS d_null
    FROM csv_force WHERE o > 7;

-- Bytes that are not text, and text in another encoding. The key is decoded by itself.
SELECT topic('csv.bytes') AS bytes \gset
SELECT kafka_create_topic(:'bytes', 1);
CREATE FOREIGN TABLE csv_bytes_raw (key bytea, value bytea) SERVER kafka OPTIONS (topic :'bytes');
INSERT INTO csv_bytes_raw VALUES ('\xff', '\x612cc3a9'), (NULL, '\x612ce9'), (NULL, '\x612c0062');
CREATE FOREIGN TABLE csv_bytes (a text, b text, k text OPTIONS (key 'true'), o int OPTIONS ("offset" 'true'))
    SERVER kafka OPTIONS (topic :'bytes', format 'csv', invalid_text 'escape');
SELECT * FROM csv_bytes WHERE o = 0;
SELECT o, e.* FROM generate_series(1, 2) o, try(format('SELECT a FROM csv_bytes WHERE o = %s', o)) e;
ALTER FOREIGN TABLE csv_bytes OPTIONS (ADD encoding 'LATIN1');
SELECT * FROM csv_bytes WHERE o = 1;
INSERT INTO csv_bytes (a, b) VALUES ('ö', 'ü');
SELECT value FROM csv_bytes_raw OFFSET 3;
SELECT sqlstate, message, context FROM try($$INSERT INTO csv_bytes (a, b) VALUES ('x', '€')$$);

-- Values of every kind are read as their types do, in the session's settings, as by COPY.
CREATE TYPE csv_mood AS ENUM ('sad', 'happy');
CREATE DOMAIN csv_small AS int CHECK (VALUE < 10) NOT NULL;
SELECT topic('csv.types') AS types \gset
SELECT kafka_create_topic(:'types', 1);
ALTER FOREIGN TABLE csv_raw OPTIONS (SET topic :'types');
CREATE FOREIGN TABLE csv_types (
    i2 int2, i8 int8, f4 float4, n numeric(5,2), b bool, ts timestamptz, iv interval, by bytea, j jsonb,
    a int[], m csv_mood, s csv_small, vc varchar(3), ch char(3), u uuid
) SERVER kafka OPTIONS (topic :'types', format 'csv');
INSERT INTO csv_types VALUES (-1, 9223372036854775807, 0.1, 3.14159, true, '2024-02-29 12:00:00.5+01', '1 day -2 hours',
    '\x00ff', '{"a": [1, null]}', '{1,NULL}', 'happy', 9, 'abc', 'a', 'a0eebc999c0b4ef8bb6d6bb9bd380a11');
SELECT value FROM csv_raw;
SELECT * FROM csv_types \gx
INSERT INTO csv_raw (value) VALUES (',,,,,,,,,,,10,,,'), (''), (' 1 , 2 , 3 , 4 , t ');
SELECT sqlstate, message, context FROM try('SELECT s FROM csv_types OFFSET 1 LIMIT 1');
SELECT sqlstate, message, context FROM try('SELECT s FROM csv_types OFFSET 2 LIMIT 1');
SELECT i2, i8, f4, n, b FROM csv_types OFFSET 3;
-- Dates are read by the session's DateStyle and written so that any session can read them.
CREATE FOREIGN TABLE csv_date (d date) SERVER kafka OPTIONS (topic :'types', format 'csv', start_offset '4');
INSERT INTO csv_raw (value) VALUES ('02/01/2024');
SELECT d FROM csv_date;
SET datestyle = 'SQL, DMY';
SELECT d FROM csv_date;
INSERT INTO csv_date VALUES ('31/01/2024');
SELECT value FROM csv_raw WHERE "offset" > 4;
SET datestyle = 'ISO, MDY';

----------------------------------------------------------------------
-- Sending
----------------------------------------------------------------------

SELECT topic('csv.send') AS send \gset
SELECT kafka_create_topic(:'send', 2);
CREATE FOREIGN TABLE csv_send (
    p int OPTIONS (partition 'true'), o bigint OPTIONS ("offset" 'true'), k text OPTIONS (key 'true'),
    h jsonb OPTIONS (headers 'true'), id int, name text
) SERVER kafka OPTIONS (topic :'send', format 'csv');
CREATE FOREIGN TABLE csv_send_raw (partition int, "offset" bigint, key text, value text, headers jsonb)
    SERVER kafka OPTIONS (topic :'send');
INSERT INTO csv_send (p, k, h, id, name) VALUES
    (0, 'k', '{"h": "1"}', 1, 'one'), (1, NULL, NULL, 2, NULL), (1, '', NULL, NULL, ''),
    (1, NULL, NULL, NULL, NULL), (1, NULL, NULL, 5, '"')
    RETURNING *;
COPY csv_send (p, name, id) FROM STDIN;
0	six, or so	6
0	\N	7
0		\N
\.
COPY csv_send (p, name, id) FROM STDIN (FORMAT csv);
1,"ei""ght",8
\.
SELECT * FROM csv_send_raw ORDER BY partition, "offset";
SELECT p, o, k, h, id, name, name IS NULL AS no_name FROM csv_send ORDER BY p, o;
-- What is read and sent again is the same, byte by byte.
SELECT topic('csv.again') AS again \gset
SELECT kafka_create_topic(:'again', 2);
CREATE FOREIGN TABLE csv_again (
    p int OPTIONS (partition 'true'), k text OPTIONS (key 'true'), id int, name text
) SERVER kafka OPTIONS (topic :'again', format 'csv');
CREATE FOREIGN TABLE csv_again_raw (partition int, "offset" bigint, key text, value text)
    SERVER kafka OPTIONS (topic :'again');
INSERT INTO csv_again (p, k, id, name) SELECT p, k, id, name FROM csv_send ORDER BY p, o;
SELECT count(*) FROM csv_send_raw s JOIN csv_again_raw a USING (partition, "offset")
    WHERE s.value = a.value AND s.key IS NOT DISTINCT FROM a.key;
-- One column: a NULL is the empty message, an empty string is not.
SELECT topic('csv.one') AS one \gset
SELECT kafka_create_topic(:'one', 1);
ALTER FOREIGN TABLE csv_raw OPTIONS (SET topic :'one');
CREATE FOREIGN TABLE csv_one (v text) SERVER kafka OPTIONS (topic :'one', format 'csv', strict 'true');
INSERT INTO csv_one VALUES (NULL), (''), ('\.'), (E'\n'), (' ');
SELECT value, value IS NULL AS tombstone FROM csv_raw ORDER BY "offset";
SELECT v, v IS NULL AS is_null FROM csv_one;
-- A column for the whole value beside its fields: one of the two gives it. Both NULL is a tombstone.
CREATE FOREIGN TABLE csv_both (k text OPTIONS (key 'true'), v text OPTIONS (value 'true'), a int, b text)
    SERVER kafka OPTIONS (topic :'one', format 'csv', start_offset '5');
INSERT INTO csv_both (k, v) VALUES ('k', '1,x');
INSERT INTO csv_both (k, a) VALUES ('k', 2);
INSERT INTO csv_both (k) VALUES ('k');
SELECT sqlstate, message, detail FROM try('INSERT INTO csv_both (v) VALUES (NULL)');
SELECT sqlstate, message, hint, context FROM try($$INSERT INTO csv_both (v, b) VALUES ('1,x', 'y')$$);
SELECT * FROM csv_both;
-- What cannot be sent
CREATE FOREIGN TABLE csv_parts (k text OPTIONS (key 'true')) SERVER kafka OPTIONS (topic :'one', format 'csv');
SELECT sqlstate, message, detail FROM try($$INSERT INTO csv_parts VALUES ('k')$$);
CREATE FOREIGN TABLE csv_junk (a int, j text OPTIONS (junk 'true'), e text OPTIONS (junk_error 'true'))
    SERVER kafka OPTIONS (topic :'one', format 'csv', start_offset '8');
SELECT sqlstate, message, detail, hint FROM try($$INSERT INTO csv_junk VALUES (1, 'x')$$);
INSERT INTO csv_junk VALUES (1, NULL, NULL);
SELECT * FROM csv_junk;
