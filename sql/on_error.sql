-- Messages that cannot be decoded: on_error, junk and junk_error, in every format.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
-- A WARNING's DETAIL has the topic's name, which is this run's own.
\set VERBOSITY terse
CREATE FUNCTION explain_lines(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        IF line ~ 'Skipped' THEN
            RETURN NEXT trim(line);
        END IF;
    END LOOP;
END $$;
SELECT topic('error') AS t, topic('error.csv') AS csv, topic('error.json') AS json \gset
SELECT kafka_create_topic(:'t', 1), kafka_create_topic(:'csv', 1), kafka_create_topic(:'json', 1);
CREATE FOREIGN TABLE error_raw (key bytea, value bytea) SERVER kafka OPTIONS (topic :'t');
INSERT INTO error_raw VALUES ('1', '10'), ('x', '20'), ('3', 'y'), ('\xff', '\xff00'), (NULL, '50'), ('6', NULL),
    (NULL, '');

----------------------------------------------------------------------
-- raw: a key or a value
----------------------------------------------------------------------

CREATE FOREIGN TABLE error_int ("offset" bigint, key int, value int) SERVER kafka OPTIONS (topic :'t');
SELECT sqlstate, message, context FROM try('SELECT * FROM error_int');
ALTER FOREIGN TABLE error_int OPTIONS (ADD on_error 'set_null');
SELECT * FROM error_int;
ALTER FOREIGN TABLE error_int OPTIONS (SET on_error 'skip');
SELECT * FROM error_int;
-- Which rows there are does not depend on the columns that are asked for.
SELECT "offset" FROM error_int;
SELECT count(*) FROM error_int;
SELECT count(*) FROM error_int WHERE "offset" < 2;
-- One WARNING however the scan ends, and none where nothing was left out.
SELECT value FROM error_int LIMIT 2;
SELECT value FROM error_int LIMIT 1;
BEGIN;
DECLARE c CURSOR FOR SELECT value FROM error_int;
FETCH 2 FROM c;
FETCH 1 FROM c;
CLOSE c;
DECLARE d CURSOR FOR SELECT value FROM error_int;
FETCH 2 FROM d;
SELECT 1/0;
ROLLBACK;
SELECT o, (SELECT count(*) FROM error_int WHERE "offset" >= o) FROM generate_series(0, 1) o;
SELECT "offset" FROM error_int WHERE key IS NOT NULL AND "offset" < 6 ORDER BY "offset" DESC LIMIT 1;
SELECT * FROM explain_lines('SELECT * FROM error_int');
SELECT * FROM explain_lines('SELECT * FROM error_int WHERE "offset" < 1');
-- Other parts: here a timestamp that the column's domain refuses
SELECT topic('error.parts') AS parts \gset
SELECT kafka_create_topic(:'parts', 1, config => '{"retention.ms": -1}');
SELECT kafka_send(:'parts', 'v', 'k', "timestamp" => '1999-01-01+00');
CREATE FOREIGN TABLE error_parts (value text, "timestamp" timestamptz) SERVER kafka OPTIONS (topic :'parts');
CREATE DOMAIN error_past AS timestamptz CHECK (VALUE > '2000-01-01');
ALTER FOREIGN TABLE error_parts ALTER "timestamp" TYPE error_past;
SELECT sqlstate, message FROM try('SELECT * FROM error_parts');
ALTER FOREIGN TABLE error_parts OPTIONS (ADD on_error 'set_null');
SELECT * FROM error_parts;

-- What input functions, domains and conversions raise is caught whatever they are.
CREATE FUNCTION error_check(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF $1 = 20 THEN
        RAISE EXCEPTION 'twenty is too much';
    ELSIF $1 = 50 THEN
        RAISE query_canceled USING MESSAGE = 'somebody wants to stop';
    END IF;
    RETURN 100 / ($1 - 10) <> 3;
END $$;
CREATE DOMAIN error_domain AS int CHECK (error_check(VALUE));
CREATE DOMAIN error_needed AS int NOT NULL;
CREATE TYPE error_pair AS (a error_domain, b text);
CREATE FOREIGN TABLE error_types ("offset" int, value error_domain, error text OPTIONS (junk_error 'true'))
    SERVER kafka OPTIONS (topic :'t');
SELECT * FROM error_types WHERE "offset" < 4;
-- But a cancel, and what else is no fault of the data.
SELECT * FROM error_types;
CREATE FUNCTION read_soft(type text, payload bytea, OUT value text, OUT error text) LANGUAGE plpgsql AS $$
DECLARE
    at bigint;
BEGIN
    INSERT INTO error_raw (value) VALUES (payload);
    EXECUTE format('CREATE FOREIGN TABLE error_any (value %s, e text OPTIONS (junk_error ''true''))
                    SERVER kafka OPTIONS (topic %L, start_offset ''-1'')', type, topic('error'));
    EXECUTE 'SELECT value::text, e FROM error_any' INTO STRICT read_soft.value, read_soft.error;
    DROP FOREIGN TABLE error_any;
END $$;
SELECT type, payload, r.* FROM (VALUES
    (1, 'numeric', 'x'), (2, 'numeric(3,1)', '100'), (3, 'date', '2023-02-29'), (4, 'timestamptz', 'nonsense'), (5, 'uuid', '0'),
    (6, 'jsonb', '{"a": }'), (7, 'json', '{"a": 1} x'), (8, 'varchar(2)', 'abc'), (9, 'char(2)', 'abc'), (10, 'text', '\377'),
    (11, 'bytea', 'fine'), (12, 'int[]', '{1,x}'), (13, 'int[]', '{{1},{1,2}}'), (14, 'error_pair', '(1)'), (15, 'error_pair', '(20,b)'),
    (16, 'error_pair', '(7,b)'), (17, 'error_pair[]', '{"(10,b)"}'), (18, 'int4range', '[5,1]'), (19, 'regclass', 'nowhere'), (20, 'xml', '<a>'),
    (21, 'inet', '1.2.3.4.5'), (22, 'interval', '1 parsec'), (23, 'tsquery', 'a &'), (24, 'jsonpath', '$..'), (25, 'error_needed', 'x'),
    (26, 'bool', 'maybe'), (27, 'float8', '1e999'), (28, 'int8', '9223372036854775808'), (29, 'money', 'a lot')
    ) AS v (n, type, payload), LATERAL read_soft(type, payload::bytea) r ORDER BY n;
SELECT r.value IS NULL AS is_null, r.error FROM read_soft('jsonb', convert_to(repeat('[', 100000), 'UTF8')) r;
SELECT r.value IS NULL AS is_null, r.error IS NULL AS fine
    FROM read_soft('int[]', convert_to(repeat('{', 100000), 'UTF8')) r;
-- Every type that PostgreSQL has, and its array: nonsense is NULL, or a value, and no message is lost.
SELECT topic('error.nonsense') AS nonsense \gset
SELECT kafka_create_topic(:'nonsense', 1);
CREATE FOREIGN TABLE error_nonsense (value text) SERVER kafka OPTIONS (topic :'nonsense');
INSERT INTO error_nonsense VALUES (''), (' '), ('('), ('(,}[nonsense'), ('{'), ('{{},'), ('{"'), ('[1,'), ('[2,1]'), ('{[2,1]}'), ('"'), ('-'), ('a.b.c'), ('a.b.c.d'), ('$.**{99999999999}'),
    ('nonsense(1)'), ('int[][]['), ('+(int,'), ('99999999999999999999'), ('1e999999'), ('1:2:3:4'), ('25:61'), ('2024-13-32'), ('<a'), ('$.'), ('!&('), ('\x1'), ('\'),
    ('1.2.3.4/99'), ('ff:gg'), ('{(1,2)'), ('=,='), ('x=y/z'), ('(1,2,3)'), ('((1,2),(3'), (E'\n'), ('ä');
CREATE FUNCTION error_nonsense(type text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    result bigint;
BEGIN
    EXECUTE format('CREATE FOREIGN TABLE error_any (value %s) SERVER kafka OPTIONS (topic %L, on_error ''set_null'')', type,
        topic('error.nonsense'));
    EXECUTE 'SELECT count(*) + 0 * count(value) FROM error_any' INTO result;
    DROP FOREIGN TABLE error_any;
    RETURN result;
END $$;
SELECT count(*) > 120 AS many, min(n), max(n) FROM
    (SELECT error_nonsense(format_type(oid, NULL)) AS n FROM pg_type
     WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typisdefined
         AND format_type(oid, NULL) !~ 'pg_|gtsvector|cstring|aclitem') t;

-- A table that is read beside parallel workers
CREATE TABLE error_heap AS SELECT i FROM generate_series(1, 1000) i;
ANALYZE error_heap;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE FOREIGN TABLE error_beside (value numeric) SERVER kafka OPTIONS (topic :'t', end_offset '5', on_error 'set_null');
EXPLAIN (COSTS OFF) SELECT count(*) FROM error_heap;
SELECT value, (SELECT count(*) FROM error_heap) FROM error_beside;
-- A worker that fails while a message is looked at: its error is not the message's. The worker waits until the session sleeps
-- in the domain's check, and that until the worker has gone.
SELECT pg_backend_pid() AS pid \gset
CREATE FUNCTION error_in_worker(session int) RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
    IF pg_backend_pid() = session THEN
        RETURN true;
    END IF;
    WHILE (SELECT wait_event IS DISTINCT FROM 'PgSleep' FROM pg_stat_get_activity(session)) LOOP
        PERFORM pg_sleep(0.01);
        PERFORM pg_stat_clear_snapshot();
    END LOOP;
    RAISE division_by_zero;
END $$;
CREATE FUNCTION error_await_worker() RETURNS boolean LANGUAGE plpgsql PARALLEL RESTRICTED AS $$
DECLARE
    seen boolean := false;
    there boolean;
BEGIN
    LOOP
        there := EXISTS (SELECT FROM pg_stat_get_activity(NULL) WHERE leader_pid = pg_backend_pid());
        EXIT WHEN seen AND NOT there;
        seen := seen OR there;
        PERFORM pg_sleep(0.01);
        PERFORM pg_stat_clear_snapshot();
    END LOOP;
    RETURN true;
END $$;
CREATE DOMAIN error_slow AS text CHECK (error_await_worker());
SET jit = off;
SET max_parallel_workers_per_gather = 1;
CREATE FOREIGN TABLE error_checked (key error_slow) SERVER kafka OPTIONS (topic :'t', end_offset '1', on_error 'set_null');
SELECT sqlstate, message FROM try(format(
    'SELECT i, (SELECT key FROM error_checked WHERE i > 0) FROM error_heap WHERE error_in_worker(%s) LIMIT 1', :pid));
RESET jit;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

----------------------------------------------------------------------
-- csv and json: fields
----------------------------------------------------------------------

CREATE FOREIGN TABLE error_csv_raw (key bytea, value bytea) SERVER kafka OPTIONS (topic :'csv');
INSERT INTO error_csv_raw VALUES ('1', '1,a,2024-01-01'), ('x', '2,b,2024-01-01'), ('3', 'x,c,y'), ('4', '4,d,2024-01-01,more'),
    ('5', '5,"e'), ('6', '\xff'), ('7', '7'), ('8', NULL), ('9', '9,i,2024-01-01');
CREATE FOREIGN TABLE error_json_raw (key bytea, value bytea) SERVER kafka OPTIONS (topic :'json');
INSERT INTO error_json_raw VALUES ('1', '{"id": 1, "name": "a", "day": "2024-01-01"}'), ('x', '{"id": 2, "name": "b", "day": "2024-01-01"}'),
    ('3', '{"id": "x", "name": "c", "day": "y"}'), ('4', '{"id": 4, "name": "d", "day": "2024-01-01", "more": 1}'),
    ('5', '{"id": 5, "name": "e'), ('6', '\xff'), ('7', '{"id": 7}'), ('8', NULL), ('9', '{"id": 9, "name": "i", "day": "2024-01-01"}');
CREATE FUNCTION error_table(options text, more text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    format text;
BEGIN
    FOREACH format IN ARRAY ARRAY['csv', 'json'] LOOP
        EXECUTE format('DROP FOREIGN TABLE IF EXISTS error_%s', format);
        EXECUTE format('CREATE FOREIGN TABLE error_%s (o int OPTIONS ("offset" ''true''), k int OPTIONS (key ''true''),
            id int, name text, day date %s) SERVER kafka OPTIONS (format %L, topic %L %s)', format, more, format,
            topic('error.' || format), options);
    END LOOP;
END $$;
SELECT error_table('');
SELECT o, csv.sqlstate, csv.message, json.sqlstate, json.message FROM generate_series(0, 8) o,
    try(format('SELECT * FROM error_csv WHERE o = %s', o)) csv, try(format('SELECT * FROM error_json WHERE o = %s', o)) json;
SELECT error_table(', on_error ''set_null''');
SELECT * FROM error_csv;
SELECT * FROM error_json;
SELECT error_table(', on_error ''skip''');
SELECT * FROM error_csv;
SELECT * FROM error_json;
SELECT count(*) FROM error_csv;
SELECT count(*) FROM error_json;
SELECT error_table(', on_error ''skip'', strict ''true''');
SELECT o, id FROM error_csv;
SELECT o, id FROM error_json;

-- junk has the value as it is, junk_error what is wrong with it, a line each; where the key is at fault, the value is
-- still what junk has.
SELECT error_table('', ', junk bytea OPTIONS (junk ''true''), error text OPTIONS (junk_error ''true'')');
SELECT o, k, id, name, day, encode(junk, 'escape') AS junk, error FROM error_csv;
SELECT o, k, id, name, day, encode(junk, 'escape') AS junk, error FROM error_json;
-- They tell of all columns, whichever are asked for, and where they are not asked for, nothing is decoded for them.
SELECT o, error FROM error_csv WHERE error IS NOT NULL;
SELECT o, error FROM error_json WHERE error IS NOT NULL;
SELECT o, name FROM error_csv WHERE name IS NOT NULL;
SELECT count(*) FROM error_csv;
-- As text, what is none is escaped.
SELECT error_table(', strict ''true''', ', junk text OPTIONS (junk ''true'')');
SELECT o, id, junk FROM error_csv WHERE junk IS NOT NULL;
SELECT o, id, junk FROM error_json WHERE junk IS NOT NULL;
-- on_error has the last word.
SELECT error_table(', on_error ''stop''', ', error text OPTIONS (junk_error ''true'')');
SELECT sqlstate, message FROM try('SELECT error FROM error_csv');
SELECT error_table(', on_error ''skip''', ', error text OPTIONS (junk_error ''true'')');
SELECT o, id, error FROM error_csv;
SELECT o, id, error FROM error_json;
-- A column too short for them is not what a message is to blame for.
SELECT error_table('', ', error varchar(5) OPTIONS (junk_error ''true'')');
SELECT sqlstate, message, context FROM try('SELECT * FROM error_csv');

-- A session that goes on after many errors: what they left behind would be seen here.
SELECT error_table(', on_error ''set_null''');
BEGIN;
SAVEPOINT a;
SELECT count(day), count(id) FROM generate_series(1, 200), LATERAL (SELECT * FROM error_csv OFFSET 0) t;
ROLLBACK TO a;
SELECT count(day), count(id) FROM error_json;
COMMIT;
INSERT INTO error_csv (k, id, name, day) SELECT o, id, name, day FROM error_csv;
SELECT * FROM error_csv WHERE o > 8;
