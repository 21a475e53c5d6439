-- Format json: columns are members of the value and of the key, in both directions.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SET timezone = 'UTC';
SET client_min_messages = warning;
SELECT topic('json') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE json_raw ("offset" bigint, key text, value text) SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE json_bytes ("offset" bigint, key bytea, value bytea) SERVER kafka OPTIONS (topic :'t');

-- Members in any order, a path, a path through something else, a member and one inside it, two columns
-- for one member, a missing member, a null one; equal names, of which the last counts, as in jsonb;
-- names with escapes, with dots, and of no letters at all.
CREATE FOREIGN TABLE json_paths (
    n bigint OPTIONS (offset 'true'), id int, name text OPTIONS (json 'n'), name_too varchar(20) OPTIONS (json 'n'),
    a json, ab text OPTIONS (json 'a.b'), abc int OPTIONS (json 'a.b.c'), "é""" text, "d.e" text, empty text
        OPTIONS (json 'd.'),
    k int OPTIONS (json_key 'k'), kp text OPTIONS (json_key 'p.q')
) SERVER kafka OPTIONS (topic :'t', format 'json');
INSERT INTO json_raw (key, value) VALUES
    (NULL, '{"id": 1, "n": "one", "a": {"b": {"c": 7}}, "é\"": "x", "d.e": "dot", "d": {"": "none"}}'),
    ('{"k": 1, "p": {"q": "r"}}',
        ' { "d.e":"dot", "d":{"e":"no" , "" : "none"}, "a" : { "x": [ ] , "b" : "text"} , "n" : "two" , "id" : 2 } '),
    ('{}', '{"other": 1, "n": null}'),
    ('{"p": {"q": 1, "q": 2}, "k": null}',
        '{"id": 1, "id": 4, "a": {"b": {"c": 7}}, "a": {"x": 1}, "n": 1, "n": "last"}'),
    ('{"p": 5}', '{"a": [{"b": 1}], "id": 5}'),
    (NULL, '{"a": {"b": {"c": 7}}, "a": null, "id": 6}'),
    (NULL,
        '{"\u0061": {"\u0062": "B"}, "\u00e9\u0022": "\u00e9", "i\u0064": 7, "\u006e\u0000": 1, "\ud800": 2, "n\ud83d\ude00": 3}'),
    ('{"k": 8}', NULL),
    (NULL, '{}');
SELECT * FROM json_paths ORDER BY n;
-- Of value and key, what is not asked for is not looked at.
SELECT count(*) FROM json_paths;
SELECT k FROM json_paths WHERE n = 1;

-- ---- The grammar is json_in()'s: nothing less, nothing more.
SELECT topic('json.grammar') AS g \gset
SELECT kafka_create_topic(:'g', 1);
CREATE FOREIGN TABLE grammar_raw (n bigint OPTIONS (offset 'true'), value text) SERVER kafka OPTIONS (topic :'g');
CREATE FOREIGN TABLE grammar_json (
    n bigint OPTIONS (offset 'true'), a json, b json OPTIONS (json 'a.b'), c json OPTIONS (json 'a.b.c'),
        x json, error text OPTIONS (junk_error 'true')
) SERVER kafka OPTIONS (topic :'g', format 'json');
CREATE FUNCTION is_json(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN value::json IS NOT NULL;
EXCEPTION WHEN invalid_text_representation OR character_not_in_repertoire THEN
    RETURN false;
END $$;
CREATE FUNCTION as_jsonb(value text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN value::jsonb;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
CREATE TABLE documents (value text);
INSERT INTO documents VALUES
    ('{"a":{"b":{"c":[1,-0,2.5e+3,1E5]},"q":[{},[],[[]],{"z":{"y":[{"x":1}]}}]},"x":[true,false,null,"\"\\\/\b\f\n\r\t\u12aF"],"s":"é"}'),
    ('{ "x" : 0.1e-2 , "a" : { "b" : { "c" : "" , "c" : "\ud83d\ude00" } } , "w" : [ 1 , { "x" : [ ] } ] }');
-- Every character of them replaced by others; left out; doubled; and all of their beginnings and ends.
CREATE TABLE variants AS
    SELECT DISTINCT v FROM documents, generate_series(1, length(value)) i, LATERAL (
        SELECT overlay(value placing c FROM i FOR 1) FROM unnest(ARRAY['{', '}', '[', ']', ':', ',', '"', '\',
            '0', '7', '-', '+', '.', 'e', 'u', 'n', 'x', ' ', E'\t', E'\x01', '''', '/', ';', 'é']) c
        UNION ALL SELECT overlay(value placing '' FROM i FOR 1)
        UNION ALL SELECT overlay(value placing substr(value, i, 1) || substr(value, i, 1) FROM i FOR 1)
        UNION ALL SELECT left(value, i) UNION ALL SELECT right(value, i)
        UNION ALL SELECT overlay(value placing ' ' FROM i FOR 0) UNION ALL SELECT overlay(value placing '0'
            FROM i FOR 0)
        UNION ALL SELECT overlay(value placing '"' FROM i FOR 0)) w (v);
-- Strings of every length up to 20 with every character of ASCII at every place.
INSERT INTO variants SELECT format('{"x":"%s"}', overlay(repeat('x', n) placing chr(c) FROM i FOR 1))
    FROM generate_series(1, 20) n, generate_series(1, n) i, generate_series(1, 127) c WHERE c IN (1, 9, 10, 31,
        32, 33, 34, 35, 47, 92, 93, 127);
-- Numbers, words, and documents out of tokens thrown together.
INSERT INTO variants SELECT format('{"x":%s%s%s%s}', s, i, f, e) FROM unnest('{"",-,+,--}'::text[]) s,
    unnest('{"",0,00,1,10,01,12x}'::text[]) i,
    unnest('{"",.,.0,.5,.05,..5,.5.}'::text[]) f, unnest('{"",e,E,e1,E10,e+,e+1,e-01,e1.5,ee1}'::text[]) e;
INSERT INTO variants SELECT format('{"x":%s}', w)
    FROM unnest('{true,false,null,True,NULL,tru,truex,true1,true_,trueé,nul,nullnull,true false,"\"a\" \"b\"",NaN,Infinity,undefined,''a''}'::text[]) w;
SELECT setseed(0.5);
INSERT INTO variants SELECT string_agg((ARRAY['{', '}', '[', ']', ':', ',', '"a"', '"b"', '"c"', '"x"', '1',
    'null', ' ', '{"a":', '{"b":', '{"c":', '"x":1', '[1,2]', '},'])
        [1 + floor(random() * 19)::int], '' ORDER BY j)
    FROM generate_series(1, 4000) i, generate_series(1, 3 + i % 9) j GROUP BY i;
-- Valid ones, of which some are broken at one place.
CREATE FUNCTION make_json(depth int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    kind int := CASE WHEN depth = 0 THEN 0 WHEN depth > 4 THEN 5 ELSE floor(random() * 10) END;
    space text := (ARRAY['', '', ' ', E'\n\t'])[1 + floor(random() * 4)::int];
BEGIN
    IF kind <= 2 THEN
        RETURN space || '{' || space || coalesce((SELECT string_agg(format('%s%s%s:%s', space,
            (ARRAY['"a"', '"b"', '"c"', '"x"', '"\u0061"', '"longer than eight bytes"', '"é"',
                '""'])[1 + floor(random() * 8)::int], space, make_json(depth + 1)), ',')
            FROM generate_series(1, floor(random() * 5)::int)), '') || '}' || space;
    ELSIF kind = 3 THEN
        RETURN '[' || space || coalesce((SELECT string_agg(make_json(depth + 1), space || ',')
            FROM generate_series(1, floor(random() * 4)::int)), '') || ']';
    END IF;
    RETURN space || (ARRAY['null', 'true', 'false', '0', '-1.50', '1e2', '12345678901234567890.5', '"text"',
        '""', '"\u00e9\n\\"', '"😀 é"'])[1 + floor(random() * 11)::int] || space;
END $$;
INSERT INTO variants SELECT CASE WHEN i % 3 = 0 THEN overlay(doc placing substr('{}[]":,\0e', 1 + i % 11, 1)
    FROM 1 + floor(random() * length(doc))::int FOR i % 2) ELSE doc END
    FROM (SELECT i, make_json(0 * i) AS doc FROM generate_series(1, 4000) i) d;
DELETE FROM variants WHERE v IS NULL;
INSERT INTO grammar_raw (value) SELECT v FROM variants;
CREATE TABLE compared AS
    SELECT r.value, is_json(r.value) AS valid, as_jsonb(r.value) AS b, j.a, j.b AS ab, j.c AS abc, j.x, j.error
    FROM grammar_raw r JOIN grammar_json j USING (n);
SELECT count(*) > 15000 AS many, count(*) FILTER (WHERE valid) > 5000 AS many_valid,
    count(*) FILTER (WHERE NOT valid) > 5000 AS many_invalid FROM compared;
-- Bad is what json_in() refuses, and what is not an object; one more member than the table has columns
-- is only noted.
SELECT value, valid, error FROM compared
    WHERE (coalesce(error, '') ~ 'invalid input syntax for type json') IS DISTINCT FROM NOT valid
    OR (coalesce(error, '') ~ 'not a JSON object') IS DISTINCT FROM (valid AND left(ltrim(value, E' \n\t\r'),
        1) <> '{') LIMIT 10;
SELECT error, count(*) > 10 AS often FROM compared GROUP BY error ORDER BY error;
-- What is shown is what jsonb has in that place.
SELECT value, a, ab, abc, x FROM compared
    WHERE b IS NOT NULL AND jsonb_typeof(b) = 'object' AND (
        nullif(b -> 'a', 'null') IS DISTINCT FROM a::jsonb OR nullif(b #> '{a,b}', 'null') IS DISTINCT
            FROM CASE WHEN jsonb_typeof(b -> 'a') = 'object' THEN ab::jsonb END
        OR (jsonb_typeof(b -> 'a') = 'object') IS NOT TRUE AND ab IS NOT NULL
        OR jsonb_typeof(b #> '{a,b}') = 'object' AND nullif(b #> '{a,b,c}', 'null') IS DISTINCT FROM abc::jsonb
            OR nullif(b -> 'x', 'null') IS DISTINCT FROM x::jsonb) LIMIT 10;
SELECT count(abc) > 500 AS many FROM compared;
-- PostgreSQL says in its own words what is wrong.
CREATE FOREIGN TABLE json_stop (n bigint OPTIONS (offset 'true'), p int OPTIONS (partition 'true'),
    a text, i int, d date) SERVER kafka OPTIONS (topic :'t', format 'json');
CREATE FUNCTION read_stop(payload bytea, OUT sqlstate text, OUT message text, OUT detail text,
    OUT context text) LANGUAGE plpgsql AS $$
DECLARE
    at bigint;
BEGIN
    INSERT INTO json_bytes (value) VALUES (payload) RETURNING "offset" INTO at;
    SELECT t.sqlstate, t.message, t.detail, regexp_replace(t.context, 'offset \d+$', 'offset N') INTO sqlstate,
        message, detail, context
        FROM try(format('SELECT * FROM json_stop WHERE p = 0 AND n = %s', at)) t;
END $$;
SELECT v.*, r.* FROM (VALUES
    ('{"a":1'::bytea), (''), (' '), ('{"a":tru}'), ('{"a":1}}'), ('{''a'':1}'), ('\x7b2261223a2209227d'),
        ('[1]'), ('5'), ('"a"'), ('null'), ('true'),
    ('\x7b2261223a22ff227d'), ('\x7b2261223a2200227d'), ('\x7b2261223a22c080227d'),
        ('\x7b2261223a22eda080227d'),
    ('{"a":"\\u0000"}'), ('{"a":"x\\ud800"}'), ('{"a":"\\ud800\\ud800"}'), ('{"a":"\\udc00x"}'),
        ('{"a":"\\ud800\\n"}'), ('{"a":"\\u00"}'), ('{"a":"\\x"}'),
    ('{"i":"x"}'), ('{"i":1.0}'), ('{"i":1e2}'), ('{"i":9998119999999999}'), ('{"i":true}'), ('{"i":[]}'),
        ('{"d":"2015-13-13"}'), ('{"d":{}}'), ('{"i":""}')) v (payload), LATERAL read_stop(payload) r;
-- A byte order mark is not JSON either.
SELECT sqlstate, message FROM read_stop('\xefbbbf7b7d');
-- Such strings are nobody's business where nobody asks for them.
SELECT r.message FROM (VALUES ('{"z":"\\u0000","i":1}'::bytea),
    ('{"z":"\\ud800","y":["\\udc00"],"i":1}')) v (payload), LATERAL read_stop(payload) r;

-- ---- Types: what json_to_record() makes of it, values and errors alike.
SELECT topic('json.types') AS y \gset
SELECT kafka_create_topic(:'y', 1);
CREATE FOREIGN TABLE json_types (n bigint OPTIONS (offset 'true'), value text) SERVER kafka OPTIONS (topic :'y');
CREATE FUNCTION record_of(type text, member text, OUT shown text, OUT problem text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT v::text FROM json_to_record(%L) AS r (v %s)', format('{"v":%s}', member),
        type) INTO STRICT shown;
EXCEPTION WHEN OTHERS THEN
    problem := SQLERRM;
END $$;
CREATE TYPE json_pair AS (x int, y text);
CREATE TYPE json_nest AS (p json_pair, ps json_pair[], m int[]);
CREATE TYPE json_mood AS ENUM ('sad', 'happy');
CREATE DOMAIN json_positive AS int CHECK (VALUE > 0);
CREATE DOMAIN json_given AS text NOT NULL;
CREATE DOMAIN json_list AS int[] CHECK (cardinality(VALUE) < 3);
CREATE DOMAIN json_row AS json_pair CHECK ((VALUE).x > 0);
CREATE DOMAIN json_some AS json CHECK (VALUE::text <> '[]');
CREATE TABLE type_cases (id serial, type text, member text, shown text, problem text);
INSERT INTO type_cases (type, member) SELECT t, m FROM unnest(ARRAY['text', 'varchar(4)', 'char(6)', 'name',
    'int', 'int2', 'int8', 'float8', 'float4', 'numeric', 'numeric(6,2)', 'bool', 'json_positive', 'json_given',
        'jsonb', 'int[]', 'text[]', 'json_pair', 'json_list', 'json_row', 'json[]', 'json_nest', 'bytea']) t,
    unnest(ARRAY['null', 'true', 'false', '1', '-12', '1.50', '1e2', '99999999999999999999', '0.1', '"1"',
        '" 1 "', '"text"', '"a\"\\\u00e9"', '""', '"true"',
        '[]', '{}', '[1,2]', '[1, [2]]', '[[1,2],[3,4]]', '[[1,2],[3]]', '[[],[]]', '[null]', '["a", null, 1]',
            '{"x": 1, "y": "z"}', '{"x": 0}', '{"y": [1, {"q": 2}]}', '{"x": "5", "z": 1}',
        '"{1,2}"', '"(1,b)"', '[{"x": 1}, {"y": 2}]', '{"p": {"x": 1}, "ps": [{"x": 2}, null], "m": [[1],[2]]}',
            '[1,2,3]', '"\\x0102"', '"\\101"']) m ORDER BY t;
INSERT INTO type_cases (type, member) VALUES ('date', '"2024-02-29"'), ('date', '"infinity"'), ('timestamp',
    '"2024-02-29T12:00:00.123"'), ('timestamptz', '"2024-02-29T12:00:00+05:00"'),
    ('interval', '"1 day"'), ('uuid', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'), ('json_mood', '"happy"'),
        ('json_mood', '"cross"'), ('int4range', '"[1,5]"'), ('inet', '"10.0.0.1"'),
    ('tsvector', '"a b"'), ('bit(3)', '"101"'), ('oid', '7'), ('regclass', '"pg_class"'),
        ('int2vector', '"1 2"'), ('json_mood[]', '["sad", null]'), ('float8', '"NaN"'),
        ('numeric', '"Infinity"'),
    ('float8', '1e400'), ('float4', '0.3'), ('float8', '0.1234567890123456789'),
        ('numeric', '123456789012345678901234567890.123456789'), ('json_some', '[]'), ('json_some', 'null'),
        ('json_some', '{ "a" : 1 }');
-- json has the text as it is, numbers and strings too; null is NULL.
INSERT INTO type_cases (type, member) SELECT 'json', m FROM unnest(ARRAY['{ "a" : 1.0, "a": "\u00e9\u0000" }',
    '"\u00e9"', ' 1.0e5 ', 'true', 'null', '[1 ,2]', '""']) m;
INSERT INTO json_types (value) SELECT format('{"v":%s}', member) FROM type_cases ORDER BY id;
DO $$
DECLARE
    t text;
BEGIN
    FOR t IN SELECT DISTINCT type FROM type_cases LOOP
        EXECUTE format('CREATE FOREIGN TABLE json_any (n bigint OPTIONS (offset ''true''), v %s, error text OPTIONS (junk_error ''true''))
                        SERVER kafka OPTIONS (topic %L, format ''json'')', t, topic('json.types'));
        UPDATE type_cases SET shown = v::text, problem = error FROM json_any WHERE n = id - 1 AND type = t
            AND n BETWEEN (SELECT min(id) - 1 FROM type_cases WHERE type = t) AND (SELECT max(id) - 1
                FROM type_cases WHERE type = t);
        DROP FOREIGN TABLE json_any;
    END LOOP;
END $$;
SELECT type, member, c.shown, c.problem, r.shown, r.problem FROM type_cases c, LATERAL record_of(type, member) r
    WHERE type <> 'json' AND (c.shown, c.problem) IS DISTINCT FROM (r.shown, r.problem);
SELECT count(*), count(shown) AS shown, count(problem) AS problems FROM type_cases;
SELECT member, shown, problem FROM type_cases WHERE type = 'json' ORDER BY id;
-- A missing member and a domain.
CREATE FOREIGN TABLE json_missing (n bigint OPTIONS (offset 'true'), v text, missing json_given)
    SERVER kafka OPTIONS (topic :'y', format 'json');
SELECT v FROM json_missing WHERE n = 3;
SELECT sqlstate, message, context FROM try('SELECT * FROM json_missing WHERE n = 3');

-- ---- Bad data that does not stop the scan.
SELECT topic('json.junk') AS j \gset
SELECT kafka_create_topic(:'j', 1);
CREATE FOREIGN TABLE junk_raw (key text, value bytea) SERVER kafka OPTIONS (topic :'j');
INSERT INTO junk_raw SELECT 'k', v FROM (VALUES ('{"i": 1, "t": "good", "d": "2015-01-12"}'::bytea),
    ('{"i": "x", "t": "bad number", "d": "2015-01-12"}'), ('{"i": 3, "t": "bad date", "d": "foob"}'),
    ('{"i": 4, "t": "truncated", '),
    ('{"i": 5, "t": "one more", "d": null, "more": null}'),
        ('{"i": 6.5, "t": "all\\u0000", "d": 7, "more": 1}'), ('{"i": 7}'), ('[]'), (''), ('\xff'), (NULL),
        ('{"i": 8, "a": [1, "x"]}'), ('{"i": 9, "b": {"c": 1}}')) w (v);
CREATE FOREIGN TABLE junk_null (n bigint OPTIONS (offset 'true'), i int, t text, d date, a int[])
    SERVER kafka OPTIONS (topic :'j', format 'json', on_error 'set_null');
SELECT * FROM junk_null ORDER BY n;
CREATE FOREIGN TABLE junk_shown (n bigint OPTIONS (offset 'true'), i int, t text, d date, a int[], b json,
    junk text OPTIONS (junk 'true'), error text OPTIONS (junk_error 'true')) SERVER kafka OPTIONS (topic :'j',
    format 'json');
SELECT n, i, t, d, a, error, junk FROM junk_shown ORDER BY n;
SELECT error FROM junk_shown ORDER BY n;
CREATE FOREIGN TABLE junk_skip (n bigint OPTIONS (offset 'true'), i int, t text, d date)
    SERVER kafka OPTIONS (topic :'j', format 'json', on_error 'skip');
SET client_min_messages = error;
SELECT n, i FROM junk_skip ORDER BY n;
SET client_min_messages = warning;
CREATE FOREIGN TABLE junk_strict (n bigint OPTIONS (offset 'true'), i int, t text OPTIONS (json 't'), d date)
    SERVER kafka OPTIONS (topic :'j', format 'json', strict 'true');
SELECT n, r.sqlstate, r.message, r.detail FROM generate_series(0, 12) n,
    LATERAL try(format('SELECT n FROM junk_strict WHERE n = %s AND i > 0', n)) r ORDER BY n;

-- ---- Large and deep.
SELECT topic('json.large') AS l \gset
SELECT kafka_create_topic(:'l', 1, config => '{"max.message.bytes": "20000000"}');
CREATE SERVER kafka_large FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers :'bootstrap',
    message_max_bytes '20000000');
CREATE FOREIGN TABLE large_raw (n bigint OPTIONS (offset 'true'), value text)
    SERVER kafka_large OPTIONS (topic :'l');
CREATE FOREIGN TABLE large (n bigint OPTIONS (offset 'true'), a text, j json, b jsonb, i int[], d text
    OPTIONS (json 'd.d.d.d'), error text OPTIONS (junk_error 'true')) SERVER kafka OPTIONS (topic :'l',
    format 'json');
INSERT INTO large_raw (value) SELECT format('{"a":"%s"}', repeat('0123456789', 100000));
INSERT INTO large_raw (value) SELECT format('{"a":"%s"}', repeat('\u00e9\n', 100000));
INSERT INTO large_raw (value) SELECT format('{%s,"a":"last"}', string_agg(format('"m%s":%s', i, i), ','))
    FROM generate_series(1, 100000) i;
INSERT INTO large_raw (value) SELECT format('{"x":%s%s,"a":"deep"}', repeat(o, n), repeat(c, n))
    FROM (VALUES (1, '[', ']', 10000), (2, '[{"a":[', ']}]', 10000), (3, '[', ']', 1000000)) v (i, o, c, n)
    ORDER BY i;
INSERT INTO large_raw (value) SELECT format('{"j":%s1%s}', repeat('{"j":', 3000), repeat('}', 3000));
INSERT INTO large_raw (value) SELECT format('{"d":%s1%s}', repeat('{"d":', 3000), repeat('}', 3000));
INSERT INTO large_raw (value) SELECT '{"a":' || repeat('[', n) FROM unnest(ARRAY[100, 1000000]) n;
INSERT INTO large_raw (value) SELECT format('{"%s":%s%s,"a":"deep"}', c, repeat('[', 1000000),
    repeat(']', 1000000)) FROM unnest('{b,i}'::text[]) c;
SELECT n, length(a), md5(a) = md5(repeat('0123456789', 100000)) AS digits, md5(a) = md5(repeat(E'é\n',
    100000)) AS escapes, left(a, 10), length(j::text), left(b::text, 9), i, length(d), left(error, 60)
    FROM large ORDER BY n;
CREATE FOREIGN TABLE large_stop (n bigint OPTIONS (offset 'true'), a text) SERVER kafka OPTIONS (topic :'l',
    format 'json');
SELECT r.sqlstate, r.message, r.detail FROM unnest('{8,9}'::int[]) n,
    LATERAL try(format('SELECT a FROM large_stop WHERE n = %s', n)) r;
DROP SERVER kafka_large CASCADE;
-- A table of 1,000 columns, and its members the other way round.
SELECT format('CREATE FOREIGN TABLE wide (%s) SERVER kafka OPTIONS (topic %L, format ''json'')',
    string_agg(format('c%s int', i), ', '), topic('json.wide')) AS create_wide
    FROM generate_series(1, 1000) i \gset
:create_wide;
SELECT kafka_create_topic(topic('json.wide'), 1);
SELECT kafka_send(topic('json.wide'), format('{%s}', string_agg(format('"c%s":%s', i, i), ',' ORDER BY i DESC)))
    FROM generate_series(1, 1000) i;
SELECT kafka_send(topic('json.wide'), format('{%s}', string_agg(format('"c%s":%s', i, i), ','
    ORDER BY i % 7, i))) FROM generate_series(1, 1100) i;
SELECT bool_and(value = substr(key, 2)), count(*) FROM wide w, jsonb_each_text(to_jsonb(w)) e;

-- ---- Sending.
SELECT topic('json.sent') AS s \gset
SELECT kafka_create_topic(:'s', 1);
CREATE FOREIGN TABLE sent_raw (n bigint OPTIONS (offset 'true'), key text, value text)
    SERVER kafka OPTIONS (topic :'s');
CREATE FOREIGN TABLE sent (n bigint OPTIONS (offset 'true'), id int, b text OPTIONS (json 'a.b'),
    plain text, c text OPTIONS (json 'a.c'), d int OPTIONS (json 'a.d.e'), k int OPTIONS (json_key 'k'),
    kk text OPTIONS (json_key 'x.y'),
    whole json OPTIONS (json 'a'), same text OPTIONS (json 'plain')) SERVER kafka OPTIONS (topic :'s',
        format 'json');
INSERT INTO sent (id, b, plain, c, d, k, kk)
    VALUES (1, 'B', E'quote " backslash \\ controls \x01\b\t\n\x0b\f\r\x1f del \x7f é 😀 /', 'C', 5, 1, 'key'),
    (2, NULL, '', NULL, NULL, NULL, NULL), (3, NULL, NULL, NULL, NULL, NULL, 'x');
INSERT INTO sent (id) VALUES (4);
INSERT INTO sent (d, id) VALUES (5, 5) RETURNING n, id, d;
INSERT INTO sent (k, id) VALUES (6, NULL);
-- A member that several columns show, or that another one is inside of.
INSERT INTO sent (whole, same) VALUES ('{"b" : 1, "d":{"e":2}}', 's'), ('"no object"', NULL);
SELECT * FROM sent_raw ORDER BY n;
SELECT n, id, b, plain, c, d, k, kk FROM sent ORDER BY n;
SELECT r.sqlstate, r.message, r.hint
    FROM unnest('{"whole, b","whole, d","plain, same","same, plain, id"}'::text[]) c,
    LATERAL try(format('INSERT INTO sent (%s) SELECT %s FROM sent WHERE n IN (0, 6)', c, c)) r;
SELECT r.sqlstate, r.message, r.hint FROM try('INSERT INTO sent (b, whole) VALUES (''x'', ''{}'')') r;
COPY sent (id, c) FROM STDIN;
7	seven
\.
SELECT value FROM sent_raw WHERE n = 8;
SELECT count(*) FROM sent_raw;
-- A path that is too long.
SELECT format('CREATE FOREIGN TABLE json_deep (a int OPTIONS (json %L)) SERVER kafka OPTIONS (topic %L, format ''json'')',
    'a' || repeat('.a', 100), :'s') AS create_deep \gset
:create_deep;
SELECT sqlstate, message FROM try('SELECT a FROM json_deep');
SELECT sqlstate, message FROM try('INSERT INTO json_deep VALUES (1)');

-- Every type comes back as it was, and looks as to_json() has it.
CREATE TYPE json_all AS (a int[], b json_pair, t timestamptz, f float8, i interval, y bytea, u numeric);
CREATE TABLE all_types (id int, b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, t text,
    vc varchar(9), c char(5), nm name, ch "char", by bytea, d date, ts timestamp, tz timestamptz, ti time,
    tt timetz, iv interval,
    u uuid, ip inet, m json_mood, r int4range, mr nummultirange, j json, jb jsonb, ia int[], ta text[],
        i2d int[][], pa json_pair[], ma json_mood[], ba bytea[], na numeric[], p json_pair, al json_all,
        ne json_nest, dp json_positive, dl json_list, dr json_row,
    o oid, rc regclass, bi bit(3), vb varbit, pt point, tv tsvector, mo money);
INSERT INTO all_types VALUES
    (1, true, -32768, 2147483647, -9223372036854775808, 0.1, 1e-300, 123456789012345678901234567890.1234567890,
        E'a"\\\b\n\x01é😀', 'é', 'ab', 'Nm', 'x', '\x00ff5c78', '2024-02-29', '2024-02-29 12:00:00.123456',
        '2024-02-29 12:00:00.123456+05', '23:59:59.5', '12:00+02', '-1 year 2 days -03:04:05.6',
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1/8', 'happy', '[1,5)', '{[1.5,2],(3,)}',
            '{ "a" : [1.0, "\u00e9"] }', '{"a": [1.0, null, {"b": "é\\"}]}', '{1,NULL,-3}',
            '{"a b",NULL,"","null","{}",é}', '{{1,2},{3,NULL}}',
        ARRAY[(1,'a')::json_pair, NULL, (NULL,NULL)::json_pair], '{sad,NULL}', ARRAY['\x00'::bytea, '\x5c'],
            '{1.50,NaN,1e20}', (1, 'b"'), ('{1,2}', (2, NULL), '2024-02-29 12:00+05', 0.1, '1 day -1 hour',
            '\x00ff', 'NaN'),
        ((1, 'x'), ARRAY[(2, 'y')::json_pair], '{{1},{2}}'), 5, '{1,2}', (1, 'r'),
            4294967295, 'pg_catalog.pg_class', '101', '1', '(1.5,2)', 'a b:2', '$1,234.50'),
    (2, false, 0, 0, 0, 'NaN', '-Infinity', 'NaN', '', '', '', '', '', '', 'infinity', '-infinity', 'infinity',
        '24:00', '00:00-15:59', '0', '00000000-0000-0000-0000-000000000000', '::1', 'sad', 'empty', '{}', '"s"',
        '"s"', '{}', '{}', '{}', '{}', '{}', '{}', '{}', (NULL, ''), (NULL, NULL, NULL, 'Infinity', NULL,
        '', 'Infinity'),
        (NULL, '{}', NULL), 1, '{}', (2, NULL), 0, NULL, '000', '', '(Infinity,NaN)', '', '0'),
    (3, NULL, 1, -1, 9223372036854775807, 3.4028235e38, 0.1234567890123456, 'Infinity', 'null', '123456789',
        'abcde', 'n', '1', '\x', '0044-03-15 BC', '0044-03-15 12:00 BC', '0044-03-15 12:00+00 BC', '00:00',
        '12:00:00.000001+00', '178000000 years', NULL, '1.2.3.4', NULL, '(,)', '{(,)}', '1.50', '1.50',
        '{NULL}', '{NULL}', NULL, '{NULL}', NULL, NULL, '{0.00}',
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '10101', NULL, NULL, NULL);
INSERT INTO all_types (id) VALUES (4);
SELECT format('CREATE FOREIGN TABLE all_sent (%s) SERVER kafka OPTIONS (topic %L, format ''json'')',
    string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum),
    topic('json.all')) AS create_sent
    FROM pg_attribute WHERE attrelid = 'all_types'::regclass AND attnum > 0 \gset
:create_sent;
SELECT kafka_create_topic(topic('json.all'), 1);
-- Whatever the settings of the session that sends.
SET intervalstyle = 'sql_standard';
SET datestyle = 'SQL, DMY';
SET extra_float_digits = -5;
SET bytea_output = 'escape';
SET timezone = 'Asia/Kathmandu';
INSERT INTO all_sent SELECT * FROM all_types ORDER BY id;
SET intervalstyle = 'iso_8601';
SELECT count(*) FROM all_sent;
RESET intervalstyle;
RESET datestyle;
RESET extra_float_digits;
RESET bytea_output;
SET timezone = 'UTC';
SELECT count(*) AS same FROM all_types one, all_sent two WHERE one.id = two.id AND one::text = two::text;
SELECT one.id, x.key, x.value, y.value FROM all_types one JOIN all_sent two ON one.id = two.id,
    jsonb_each_text(to_jsonb(one)) x JOIN jsonb_each_text(to_jsonb(two)) y ON x.key = y.key
    WHERE x.value IS DISTINCT FROM y.value;
SELECT topic('json.all') AS a \gset
CREATE FOREIGN TABLE all_raw (value json) SERVER kafka OPTIONS (topic :'a');
-- It differs from to_json() in the time zone of the session alone.
SELECT key, v.value::text, t.value::text FROM all_raw r, json_each(r.value) v JOIN LATERAL (SELECT e.*
    FROM all_types one, json_each(to_json(one)) e WHERE one.id = (r.value ->> 'id')::int) t USING (key)
    WHERE v.value::text <> t.value::text ORDER BY 1, 2;
SELECT value ->> 'id' AS id, value ->> 'tz' AS tz, value -> 'al' ->> 't' AS t, value ->> 'iv' AS iv,
    value ->> 'f8' AS f8, value ->> 'by' AS by, value -> 'al' AS al FROM all_raw;
-- A value that a NULL of JSON cannot be told from, and arrays whose elements are arrays of JSON: as in
-- json_populate_record().
CREATE FOREIGN TABLE json_lossy (n bigint OPTIONS (offset 'true'), j jsonb, ja jsonb[], lb int[])
    SERVER kafka OPTIONS (topic :'s', format 'json');
INSERT INTO json_lossy (j, ja, lb) VALUES ('null', ARRAY['null', '[1,2]']::jsonb[], '[0:1]={1,2}') RETURNING n \gset
INSERT INTO json_lossy (ja) VALUES (ARRAY['[1,2]', '[3,4]']::jsonb[]);
SELECT j, ja, lb FROM json_lossy WHERE n >= :n;
-- A row type that changes while it is in use.
CREATE TYPE json_changed AS (a int, b text);
CREATE FOREIGN TABLE changed (n bigint OPTIONS (offset 'true'), v json_changed)
    SERVER kafka OPTIONS (topic :'s', format 'json');
INSERT INTO changed (v) VALUES ((1, 'x'));
ALTER TYPE json_changed DROP ATTRIBUTE a, ADD ATTRIBUTE c int;
INSERT INTO changed (v) VALUES (('y', 2)) RETURNING n \gset
SELECT v FROM changed WHERE n >= :n - 1 ORDER BY n;

-- ---- Other encodings: the table's, and the database's.
SELECT topic('json.latin1') AS e \gset
SELECT kafka_create_topic(:'e', 1);
CREATE FOREIGN TABLE latin1_bytes (value bytea) SERVER kafka OPTIONS (topic :'e');
CREATE FOREIGN TABLE latin1 (n bigint OPTIONS (offset 'true'), "clé" text, k text OPTIONS (json_key 'é'))
    SERVER kafka OPTIONS (topic :'e', format 'json', encoding 'latin1');
INSERT INTO latin1 ("clé", k) VALUES ('Grüße', 'ü');
INSERT INTO latin1_bytes VALUES ('{"cl\351":"\374\\u20ac\\u00e9"}');
SELECT value FROM latin1_bytes;
SELECT * FROM latin1 ORDER BY n;
SELECT sqlstate, message FROM try($$INSERT INTO latin1 ("clé") VALUES ('€')$$);
SELECT current_database() AS home, 'json_latin1_' || id AS db, topic('json.utf8') AS u FROM test_run \gset
SELECT kafka_create_topic(:'u', 1);
CREATE FOREIGN TABLE utf8_bytes (value bytea) SERVER kafka OPTIONS (topic :'u');
INSERT INTO utf8_bytes VALUES (convert_to('{"clé":"é\u00e9\u00ff"}', 'UTF8')), ('{"cl\\u00e9":"\\u20ac"}'),
    ('{"cl\\u00e9":"\\ud83d\\ude00"}'), (convert_to('{"clé":"€"}', 'UTF8'));
CREATE DATABASE :"db" ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C';
\c :"db"
SET client_encoding = 'UTF8';
SET client_min_messages = warning;
CREATE EXTENSION kafka_fdw;
CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers :'bootstrap');
CREATE FOREIGN TABLE utf8 (n bigint OPTIONS (offset 'true'), "clé" text, error text OPTIONS (junk_error 'true'))
    SERVER kafka OPTIONS (topic :'u', format 'json');
SELECT * FROM utf8 ORDER BY n;
INSERT INTO utf8 ("clé") VALUES ('ö') RETURNING n \gset
\c :"home"
SELECT convert_from(value, 'UTF8') FROM utf8_bytes LIMIT 1 OFFSET 4;
DROP DATABASE :"db";
CREATE DATABASE :"db" ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C';
\c :"db"
SET client_min_messages = warning;
CREATE EXTENSION kafka_fdw;
CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers :'bootstrap');
CREATE FOREIGN TABLE utf8 (n bigint OPTIONS (offset 'true'), v bytea, a text OPTIONS (json 'clé'),
    error text OPTIONS (junk_error 'true')) SERVER kafka OPTIONS (topic :'u', format 'json');
SELECT n, a::bytea, error FROM utf8 ORDER BY n;
ALTER FOREIGN TABLE utf8 OPTIONS (ADD encoding 'latin1');
SELECT n, a::bytea, error FROM utf8 ORDER BY n;
\c :"home"
DROP DATABASE :"db";
