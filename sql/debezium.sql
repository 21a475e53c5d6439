-- Format debezium: change events as rows.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
\pset null '(null)'
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SELECT topic('dbz') AS t, topic('dbz_types') AS tt, topic('dbz_bad') AS tb \gset
SELECT kafka_create_topic(name, 1) FROM unnest(ARRAY[:'t', :'tt', :'tb']) name;
CREATE SCHEMA dbz;
SET search_path = public, dbz;

-- Which row an event shows
CREATE FOREIGN TABLE dbz.f ("offset" bigint OPTIONS ("offset" 'true'), op text OPTIONS (debezium 'op'), id int, name text, first text OPTIONS (json 'deep.first'),
    kid int OPTIONS (json_key 'id'), lsn bigint OPTIONS (debezium 'source.lsn'), at timestamptz OPTIONS (debezium 'ts_ms'), exact timestamptz OPTIONS (debezium 'ts_ns'),
    after jsonb OPTIONS (debezium 'after'))
    SERVER kafka OPTIONS (topic :'t', format 'debezium');
SELECT count(kafka_send(:'t', v, k)) FROM (VALUES
    ('{"before": null, "after": {"id": 1, "name": "one", "deep": {"first": "x"}}, "source": {"lsn": 17}, "op": "c", "ts_ms": 1709208000123, "ts_ns": 1709208000123456789}', '{"id": 1}'),
    ('{"op": "u", "before": {"id": 1, "name": "one"}, "after": {"id": 1, "name": "two"}}', '{"id": 1}'),
    ('{"op": "d", "before": {"id": 1, "name": "two"}, "after": null}', '{"id": 1}'),
    (NULL, '{"id": 1}'),
    ('{"op": "d", "before": null}', '{"id": 2, "name": "of the key"}'),
    ('{"op": "r", "after": {"id": 3}}', NULL),
    ('{"op": "t", "source": {"lsn": 18}}', NULL),
    ('{"op": "m", "message": {"prefix": "p"}}', NULL),
    ('{"schema": {"type": "struct"}, "payload": {"op": "c", "after": {"id": 4, "name": "wrapped"}, "source": {"lsn": 19}}}', '{"schema": {}, "payload": {"id": 4}}'),
    (NULL, '{"schema": {}, "payload": {"id": 5}}'),
    ('{"op": "c", "after": {"id": 6, "name": "a payload of its own", "payload": 1}, "payload": {"op": "d"}}', '{"id": 6, "payload": {"id": 7}}')) x (v, k);
SELECT * FROM f ORDER BY "offset";
SELECT count(*) FROM f;
SELECT op FROM f WHERE "offset" = 2;

-- Types, by the column alone
CREATE FOREIGN TABLE dbz.types (n int, d date, ts timestamp, ts3 timestamp(3), tz timestamptz, ti time, ti3 time(3), i interval, b bytea, num numeric(6, 2), j jsonb, js json,
    da date[], ba bytea[], na numeric[], t text, txt text) SERVER kafka OPTIONS (topic :'tt', format 'debezium');
SELECT count(kafka_send(:'tt', json_build_object('op', 'c', 'after', v::json)::text)) FROM (VALUES
    ('{"n": 1, "d": 19782, "ts": 1709208000123456, "ts3": 1709208000123, "tz": "2024-02-29T12:00:00.5Z", "ti": 43200000001, "ti3": 43200001, "i": 3660000000, "b": "AAH/", "num": "12.30",
      "j": "text", "js": {"a" : 1}, "da": [19782, null, -1], "ba": ["AQI=", null], "na": ["1.5", 2], "t": 5, "txt": "AAH/"}'),
    ('{"n": 2, "d": "2024-02-29", "ts": "2024-02-29T12:00:00", "tz": "0044-03-15T12:00:00Z BC", "ti": "24:00:00", "i": "P1Y2DT3S", "b": "\/\/8=", "num": "\u0031.5", "da": ["2024-02-29"], "ba": [["AQ=="], ["\/w\u003d="]], "na": ["NaN", null]}'),
    ('{"n": 3, "d": -800000, "ts": -1, "ts3": -1, "tz": 1709208000123456, "ti": 86400000000, "i": -1, "b": "", "num": -1.5, "j": null}'),
    ('{"n": 4, "num": {"scale": 3, "value": "AeJA"}, "da": "__debezium_unavailable_value", "b": "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==", "txt": "__debezium_unavailable_value",
      "j": "__debezium_unavailable_value", "na": ["__debezium_unavailable_value"]}')) x (v);
\x on
SELECT * FROM types;
\x off
-- What Debezium has for a value that it has not, and kafka_publish() for a value that looks like it.
CREATE TABLE dbz.word (id int PRIMARY KEY, t text, a text[], b bytea, ab bytea[], ai int[], al bigint[], ad date[], au uuid[], j jsonb, js json, s text);
SELECT topic('dbz_word') AS tw \gset
SELECT kafka_create_topic(:'tw', 1);
CREATE FOREIGN TABLE dbz.word_events (id int, t text, a text[], b bytea, ab bytea[], ai int[], al bigint[], ad date[], au uuid[], j jsonb, js json, s text) SERVER kafka OPTIONS (topic :'tw', format 'debezium');
INSERT INTO word SELECT 1, w, ARRAY[w], w::bytea, ARRAY[w::bytea], codes, codes, (SELECT array_agg('1970-01-01'::date + c) FROM unnest(codes) c), ARRAY[overlay(overlay(md5(w) PLACING '3' FROM 13) PLACING 'a' FROM 17)]::uuid[],
    to_jsonb(ARRAY[w]), format('{"%s":"%s"}', w, w)::json, format('{"%s":"%s"}', w, w) FROM (SELECT w, (SELECT array_agg(get_byte(w::bytea, i)) FROM generate_series(0, length(w) - 1) i) AS codes FROM (VALUES ('__debezium_unavailable_value')) x (w)) y;
SELECT kafka_send(:'tw', replace(json_build_object('op', 'c', 'after', json_build_object('id', 0, 't', w, 'a', a, 'b', encode(b, 'base64'), 'ab', json_build_array(encode(ab[1], 'base64')), 'ai', ai, 'al', al, 'ad', (SELECT json_agg(d - '1970-01-01'::date) FROM unnest(ad) d),
    'au', au, 'j', w, 'js', js, 's', s))::text, ', ', ',')) FROM word, LATERAL (SELECT t AS w) x;
SELECT count(*) AS "none of them" FROM word_events e WHERE num_nonnulls(id, t, a, b, ab, ai, al, ad, au, j, js, s) = 1;
SELECT kafka_publish_table('word', :'tw', delivery => 'commit');
UPDATE word SET id = id;
SELECT count(*) AS "all of them" FROM word_events e JOIN word w USING (id) WHERE (e.t, e.a, e.b, e.ab, e.ai, e.al, e.ad, e.au, e.j, e.js::jsonb, e.s) = (w.t, w.a, w.b, w.ab, w.ai, w.al, w.ad, w.au, w.j, w.js::jsonb, w.s);

-- Types, as a schema says
CREATE FOREIGN TABLE dbz.schema (n int, d date, ts timestamp, ti time, num numeric, numt text, v numeric, j jsonb, i interval, da timestamp[])
    SERVER kafka OPTIONS (topic :'tt', format 'debezium', start_offset '4', on_error 'stop');
SELECT count(kafka_send(:'tt', json_build_object('schema', json_build_object('type', 'struct', 'fields', json_build_array(
        json_build_object('field', 'before', 'fields', json_build_array()),
        json_build_object('field', 'after', 'fields', (SELECT json_agg(json_build_object('type', 'x', 'field', f[1], 'name', f[2], 'parameters', json_build_object('scale', f[3]))) FROM (SELECT regexp_split_to_array(x, ':') f FROM regexp_split_to_table(fields, ' ') x) y)))),
    'payload', json_build_object('op', 'c', 'after', v::json))::text)) FROM (VALUES
    ('d:org.apache.kafka.connect.data.Date ts:io.debezium.time.Timestamp ti:io.debezium.time.Time num:org.apache.kafka.connect.data.Decimal:2 numt:org.apache.kafka.connect.data.Decimal:0 j:io.debezium.data.Json',
     '{"n": 1, "d": 0, "ts": 1709208000123, "ti": 1000, "num": "/w==", "numt": "AeJA", "v": {"scale": 0, "value": "AeJA"}, "j": "[1, {\"a\": \"\\u00fc\"}]"}'),
    ('ts:io.debezium.time.MicroTimestamp ti:io.debezium.time.MicroTime num:org.apache.kafka.connect.data.Decimal:30 i:io.debezium.time.MicroDuration',
     '{"n": 2, "ts": 1709208000123456, "ti": 1, "num": "AP////////////////////8=", "i": 1, "j": "[1]"}'),
    ('ts:io.debezium.time.NanoTimestamp ti:io.debezium.time.NanoTime num:org.apache.kafka.connect.data.Decimal:-2 i:io.debezium.time.NanoDuration',
     '{"n": 3, "ts": -1, "ti": 1999, "num": "gAA=", "i": 1000}'),
    ('ts:org.apache.kafka.connect.data.Timestamp', '{"n": 4, "ts": 1}')) x (fields, v);
\x on
SELECT * FROM schema;
\x off
-- JSON comes in a string from Debezium, and as itself from kafka_publish().
SELECT count(kafka_send(:'tt', v)) FROM (VALUES
    ('{"op": "c", "source": {"sequence": null}, "after": {"n": 5, "j": "{\"a\": 1}"}}'),
    ('{"op": "c", "source": {}, "after": {"n": 6, "j": "{\"a\": 1}"}}')) x (v);
SELECT n, j FROM schema WHERE "n" >= 5;

-- What is bad
CREATE FOREIGN TABLE dbz.bad ("offset" bigint OPTIONS ("offset" 'true'), id int, d date, n numeric, b bytea, j jsonb) SERVER kafka OPTIONS (topic :'tb', format 'debezium');
CREATE FOREIGN TABLE dbz.bad_null ("offset" bigint OPTIONS ("offset" 'true'), id int, d date, n numeric, b bytea, j jsonb, error text OPTIONS (junk_error 'true')) SERVER kafka OPTIONS (topic :'tb', format 'debezium');
SELECT count(kafka_send(:'tb', v, 'x')) FROM (VALUES
    ('{"op": "x", "after": {}}'), ('{"op": 1, "after": {}}'), ('{"id": 1}'), ('[]'), ('nothing'), ('{"op": "u", "after": null}'), ('{"schema": null, "payload": null}'),
    ('{"op": "c", "after": {"id": 7, "d": 1.5}}'), ('{"op": "c", "after": {"id": 8, "d": 99999999999}}'), ('{"op": "c", "after": {"id": 9, "n": "AeJA"}}'),
    ('{"op": "c", "after": {"id": 10, "b": "!"}}'), ('{"op": "c", "after": {"id": 11, "n": {"scale": 1}}}'), ('{"op": "c", "source": {"sequence": ""}, "after": {"id": 12, "j": "{"}}'),
    ('{"op": "d", "before": null}'), ('{"op": "c", "after": {"id": "x"}}')) x (v);
SELECT * FROM bad_null ORDER BY "offset";
SELECT i, e.* FROM generate_series(0, 14) i, try(format('SELECT * FROM bad WHERE "offset" = %s', i)) e;

-- Options
SELECT * FROM try($$INSERT INTO f (id) VALUES (1)$$);
SELECT * FROM try(format($$CREATE FOREIGN TABLE dbz.x (a int) SERVER kafka OPTIONS (topic %L, format 'debezium', strict 'true')$$, :'t'));
CREATE FOREIGN TABLE dbz.j (op text OPTIONS (debezium 'op')) SERVER kafka OPTIONS (topic :'t', format 'json');
SELECT * FROM try($$SELECT * FROM j$$);
CREATE TYPE dbz.pair AS (a int, b bytea);
CREATE FOREIGN TABLE dbz.r (op pair[]) SERVER kafka OPTIONS (topic :'t', format 'debezium');
SELECT * FROM try($$SELECT * FROM r$$);
CREATE DOMAIN dbz.bytes AS bytea[];
ALTER FOREIGN TABLE dbz.r ALTER op TYPE bytes[];
SELECT * FROM try($$SELECT * FROM r$$);
SELECT * FROM try($$CREATE FOREIGN TABLE dbz.x (a int OPTIONS (debezium '')) SERVER kafka$$);
DROP SCHEMA dbz CASCADE;
