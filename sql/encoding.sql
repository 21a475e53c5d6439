-- Text: verified, converted, and what becomes of bytes that are not text.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SET client_min_messages = warning;
SELECT topic('encoding') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE enc_bytes ("offset" bigint, partition int, key bytea, value bytea)
    SERVER kafka OPTIONS (topic :'t');
INSERT INTO enc_bytes (value) VALUES
    ('plain'), (convert_to('Grüße', 'UTF8')), ('\xff'), ('\x610062'), ('\xc3'), ('\xeda080'), ('\xc080'), ('\xf4908080'),
    (''), ('\xefbfbf'), ('\xe4bda0');

-- The default is an error that says which bytes of which message.
CREATE FOREIGN TABLE enc_error ("offset" bigint, partition int, value text) SERVER kafka OPTIONS (topic :'t');
SELECT n, r.sqlstate, r.message, r.hint, r.context
    FROM generate_series(0, 10) n,
    LATERAL try(format('SELECT value FROM enc_error WHERE partition = 0 AND "offset" = %s', n)) r ORDER BY n;
CREATE FOREIGN TABLE enc_escape ("offset" bigint, partition int, value text)
    SERVER kafka OPTIONS (topic :'t', invalid_text 'escape');
SELECT "offset", value FROM enc_escape ORDER BY "offset";
CREATE FOREIGN TABLE enc_null ("offset" bigint, partition int, value text)
    SERVER kafka OPTIONS (topic :'t', invalid_text 'null');
SELECT "offset", value, value IS NULL AS not_text FROM enc_null ORDER BY "offset";
-- Other types are made of text, so the same holds for them.
CREATE FOREIGN TABLE enc_json ("offset" bigint, partition int, value jsonb) SERVER kafka OPTIONS (topic :'t');
SELECT sqlstate, message, context FROM try('SELECT value FROM enc_json WHERE partition = 0 AND "offset" = 2');
ALTER FOREIGN TABLE enc_json OPTIONS (ADD invalid_text 'null');
SELECT value IS NULL FROM enc_json WHERE partition = 0 AND "offset" = 2;
ALTER FOREIGN TABLE enc_json OPTIONS (SET invalid_text 'escape');
SELECT sqlstate, message FROM try('SELECT value FROM enc_json WHERE partition = 0 AND "offset" = 2');
ALTER FOREIGN TABLE enc_escape ALTER COLUMN value TYPE varchar(3);
SELECT value FROM enc_escape WHERE partition = 0 AND "offset" = 8;
SELECT sqlstate, message FROM try('SELECT value FROM enc_escape WHERE partition = 0 AND "offset" = 2');

-- Messages in another encoding, read and sent.
SELECT topic('encoding.latin1') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE enc_l1_bytes ("offset" bigint, key bytea, value bytea) SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE enc_l1 ("offset" bigint, key text, value text) SERVER kafka OPTIONS (topic :'t', encoding 'latin1');
INSERT INTO enc_l1 (key, value) VALUES ('clé', 'Grüße'), (NULL, ''), ('k', NULL);
SELECT sqlstate, message, context FROM try($$INSERT INTO enc_l1 (key, value) VALUES ('€', 'v')$$);
SELECT key, value FROM enc_l1_bytes ORDER BY "offset";
SELECT key, value FROM enc_l1 ORDER BY "offset";
INSERT INTO enc_l1_bytes (value) VALUES ('\xff'), ('\x6100');
SELECT value FROM enc_l1 WHERE "offset" = 3;
SELECT sqlstate, message FROM try('SELECT value FROM enc_l1 WHERE "offset" = 4');
ALTER FOREIGN TABLE enc_l1 OPTIONS (ADD invalid_text 'escape');
SELECT value FROM enc_l1 WHERE "offset" >= 3 ORDER BY "offset";
-- Client-only encodings, and types other than text.
SELECT topic('encoding.sjis') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE enc_sjis_bytes ("offset" bigint, value bytea) SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE enc_sjis ("offset" bigint, value jsonb) SERVER kafka OPTIONS (topic :'t', encoding 'sjis');
INSERT INTO enc_sjis (value) VALUES ('{"a": "漢字"}');
SELECT value FROM enc_sjis_bytes;
SELECT value FROM enc_sjis;
-- Longer than any buffer that is kept.
INSERT INTO enc_l1 (value) SELECT repeat('é', n) FROM (VALUES (700000), (10)) v (n);
SELECT length(value), value = repeat('é', length(value)) AS same FROM enc_l1 WHERE "offset" > 4 ORDER BY "offset";

-- A database in another encoding: messages stay in UTF-8.
SELECT topic('encoding') AS t, topic('encoding.other') AS other, :'DBNAME' || '_latin1' AS db \gset
SELECT kafka_create_topic(:'other', 1);
CREATE DATABASE :"db" ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C';
SELECT :'DBNAME' AS home \gset
\c :"db"
SET client_encoding = 'UTF8';
SET client_min_messages = warning;
CREATE EXTENSION kafka_fdw;
CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers :'bootstrap');
CREATE FOREIGN TABLE l1 ("offset" bigint, value text, headers jsonb)
    SERVER kafka OPTIONS (topic :'other');
CREATE FOREIGN TABLE l1_bytes ("offset" bigint, value bytea, headers kafka_header[])
    SERVER kafka OPTIONS (topic :'other');
INSERT INTO l1 (value, headers) VALUES ('Grüße', '{"é": "ü"}');
INSERT INTO l1_bytes (value, headers) VALUES ('\xe282ac', ARRAY[('euro', '\xe282ac')]::kafka_header[]);
SELECT "offset", value, (headers[1]).value AS header FROM l1_bytes ORDER BY "offset";
SELECT value, headers FROM l1 WHERE "offset" = 0;
-- A character that the database does not have is not text here; a header is base64.
\set VERBOSITY terse
SELECT value FROM l1 WHERE "offset" = 1;
\set VERBOSITY default
SELECT headers FROM l1 WHERE "offset" = 1;
ALTER FOREIGN TABLE l1 OPTIONS (ADD invalid_text 'escape');
SELECT value FROM l1 ORDER BY "offset";
\c :"home"
DROP DATABASE :"db";
