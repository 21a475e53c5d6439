-- The trigger that publishes changes of rows: its messages, its arguments, what it refuses.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SET client_min_messages = warning;
SET TimeZone = 'Asia/Kathmandu';
SELECT topic('publish') AS t \gset
SELECT kafka_create_topic(:'t', 1);

-- What waits in the outbox, without what changes from run to run. Every transaction that puts
-- something there is rolled back, so that no relay takes it away.
CREATE FUNCTION waiting(OUT key text, OUT op text, OUT before text, OUT after text, OUT headers text, OUT "table" text, OUT partition int)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT convert_from(o.key, 'UTF8'), coalesce(m[3], 'tombstone'), nullif(m[1], 'null'), nullif(m[2], 'null'),
           (SELECT string_agg(h.name || '=' || coalesce(convert_from(h.value, 'UTF8'), 'NULL'), ' ') FROM unnest(o.headers) h),
           substring(v FROM '"table":("([^"\\]|\\.)*")')::json #>> '{}', o.partition
    FROM kafka_outbox o, LATERAL (SELECT convert_from(o.value, 'UTF8')::json::text AS v) v,
         -- json_each() and its kin do not take \u0000, not even in a member that nobody asks for.
         LATERAL (SELECT regexp_match(v, '^\{"before":(.*),"after":(.*),"source":\{.*,"op":"(.)"') AS m) m
    ORDER BY o.id $$;
-- The same for values that are no envelope.
CREATE FUNCTION waiting_raw(OUT key text, OUT value text, OUT partition int) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT convert_from(o.key, 'UTF8'), convert_from(o.value, 'UTF8'), o.partition FROM kafka_outbox o ORDER BY o.id $$;
-- Make triggers with arguments, by hand; and drop them.
CREATE FUNCTION publish(relation text, arguments text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER to_kafka AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION kafka_publish(%L%s)',
                   relation, topic('publish'), arguments);
    EXECUTE format('CREATE TRIGGER truncate_to_kafka AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION kafka_publish(%L%s)',
                   relation, topic('publish'), arguments);
END $$;
CREATE FUNCTION unpublish(relation text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TRIGGER to_kafka ON %s', relation);
    EXECUTE format('DROP TRIGGER truncate_to_kafka ON %s', relation);
END $$;

----------------------------------------------------------------------
-- The envelope
----------------------------------------------------------------------

CREATE TABLE orders (id int PRIMARY KEY, item text, price numeric(10,2));
SELECT publish('orders');
BEGIN;
INSERT INTO orders VALUES (1, 'a "b"', 12.50), (2, NULL, NULL);
UPDATE orders SET item = 'c' WHERE id = 1;
UPDATE orders SET id = 3 WHERE id = 2;
DELETE FROM orders WHERE id = 1;
TRUNCATE orders;
SELECT * FROM waiting();
ROLLBACK;
SELECT pg_current_wal_insert_lsn() AS before \gset
BEGIN;
INSERT INTO orders VALUES (1, 'x', 1);
SELECT json_object_keys(convert_from(value, 'UTF8')::json) FROM kafka_outbox;
SELECT key, CASE WHEN key LIKE 'ts\__s' THEN 'a time' ELSE value::text END
FROM json_each((SELECT convert_from(value, 'UTF8')::json -> 'source' FROM kafka_outbox)) WHERE key NOT IN ('txId', 'lsn', 'db');
SELECT (v -> 'source' ->> 'txId')::xid8 = pg_current_xact_id() AS "txId",
       (v -> 'source' ->> 'lsn')::numeric BETWEEN :'before'::pg_lsn - '0/0' AND pg_current_wal_insert_lsn() - '0/0' AS lsn,
       v -> 'source' ->> 'db' = current_database() AS db,
       (v -> 'source' ->> 'ts_us')::numeric = extract(epoch FROM now()) * 1000000 AS ts_us,
       (v -> 'source' ->> 'ts_ms')::numeric = trunc(extract(epoch FROM now()) * 1000) AS ts_ms,
       (v ->> 'ts_us')::numeric / 1e6 BETWEEN extract(epoch FROM now()) AND extract(epoch FROM clock_timestamp()) AS now,
       v ->> 'ts_ns' = v ->> 'ts_us' || '000' AS ts_ns, trunc((v ->> 'ts_us')::numeric / 1000) = (v ->> 'ts_ms')::numeric AS ms,
       server, role, topic = topic('publish') AS topic
FROM (SELECT convert_from(value, 'UTF8')::json AS v, server, role::text = current_user AS role, topic FROM kafka_outbox) s;
ROLLBACK;
DROP TABLE orders;

----------------------------------------------------------------------
-- Values
----------------------------------------------------------------------

CREATE TYPE colour AS ENUM ('red', 'dark "blue"');
CREATE TYPE pair AS (a int, "B b" numeric, c timestamptz[]);
CREATE DOMAIN positive AS numeric CHECK (VALUE > 0);
CREATE DOMAIN pairs AS pair[];
CREATE TABLE kinds (
    id int PRIMARY KEY, b bool, i2 smallint, i8 bigint, n numeric, f4 real, f8 double precision,
    t text, v varchar(10), c char(4), cc "char", na name, by bytea, d date, ti time, tz timetz, ts timestamp, tstz timestamptz, iv interval,
    u uuid, j json, jb jsonb, x xml, e colour, o oid, rc regclass, m money, bt bit(3), vb varbit, ip inet, mac macaddr,
    p point, ci circle, ir int4range, tr tstzrange, fr daterange, mr tstzmultirange, tv tsvector,
    a int[], aa numeric[], at timestamptz[], ab bytea[], aj jsonb[], co pair, cop pair[], dom positive, doms pairs, lo pg_lsn);
SELECT publish('kinds');
CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
    INSERT INTO kinds VALUES (1, true, -3, 9223372036854775807, 1.10, 0.1, 1e-300 / 3,
        E'quote " backslash \\ tab \t nl \n é 😀', 'v', 'c', 'x', 'n', '\x00ff10', '2024-02-29', '01:02:03.5', '23:30:00.25-05', '2024-02-29 12:00:00.000001', '2024-02-29 23:59:59.9+00',
        '1 year 2 mons -3 days 04:05:06.7',
        'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"a":  "\u0000", "a": 1.0}', '{"b": "\\", "a": 1.0}', '<a>é</a>', 'dark "blue"', 4000000000, 'pg_class', '1234.5', '101', '1', '::1', '08:00:2b:01:02:03',
        '(0.1,2)', '<(0.1,0.3),3>', '[1,5)', '[2024-01-01 00:00+00,)', '[2024-01-01,2024-02-01)', '{[2024-01-01 00:00+00,2024-01-02 00:00+00)}', 'a:1 b',
        '{{1,2},{3,NULL}}', '{1.50,NaN}', '{2024-01-01 00:00+00,infinity}', '{"\\x00",NULL}', '{"{\"a\": [1]}"}',
        ROW(1, 2.50, '{2024-01-01 00:00+00}'), ARRAY[ROW(NULL, NULL, NULL)::pair, NULL], 7.0, ARRAY[ROW(2, 1, '{}')::pair], '16/B374D848');
    INSERT INTO kinds (id, n, f4, f8, t, by, d, ti, tz, ts, tstz, iv, j, jb, a, ir)
        VALUES (2, 'NaN', 'NaN', '-infinity', '', '', 'infinity', '24:00:00', '24:00:00+00', '-infinity', 'infinity', '-1 sec', 'null', '"s"', '{}', 'empty'),
               (3, 'Infinity', '-0', 123456789012345680, 'x', '\x', '0044-03-15 BC', '00:00', '00:00+14', '0044-03-15 12:00 BC', '0044-03-15 12:00+00 BC', '0', '[]', '{}', '[5:6]={1,2}', '(,)'),
               (4, -1e-20, 3.4e38, 0.1::float8 + 0.2, NULL, NULL, '5874897-12-31', NULL, '01:00-15:59', '294276-12-31 23:59:59.999999', '4713-11-24 00:00+00 BC', '-178000000 years', '"😀"', '1e5', NULL, NULL) $$;
BEGIN;
SELECT fill();
SELECT regexp_split_to_table(after, ',(?="\w+":)') FROM waiting() WHERE after LIKE '{"id":1,%';
SELECT json_strip_nulls(after::json) FROM waiting() WHERE after NOT LIKE '{"id":1,%';
CREATE TEMPORARY TABLE usual AS SELECT * FROM waiting();
-- What a session has set changes nothing, and stays as it is.
SET LOCAL TimeZone = 'America/St_Johns';
SET LOCAL DateStyle = 'German';
SET LOCAL IntervalStyle = 'sql_standard';
SET LOCAL extra_float_digits = -15;
SET LOCAL bytea_output = 'escape';
SET LOCAL search_path = public, pg_catalog;
SET LOCAL quote_all_identifiers = on;
DELETE FROM kinds;
SELECT count(*), count(usual.key) FROM waiting() w LEFT JOIN usual ON usual.after = w.before WHERE w.op = 'd';
SELECT current_setting('TimeZone'), current_setting('DateStyle'), current_setting('IntervalStyle'), current_setting('extra_float_digits'),
       current_setting('bytea_output'), current_setting('search_path');
ROLLBACK;
DROP TABLE kinds;
DROP FUNCTION fill;

-- numeric as numbers, which NaN is not. A key changes where its text does.
CREATE TABLE numbers (id numeric PRIMARY KEY, n positive, a numeric[], f float8);
SELECT publish('numbers', $$, 'numeric=number'$$);
BEGIN;
INSERT INTO numbers VALUES (1.0, 12345678901234567890.123, '{1.50,NaN,Infinity}', 1.5), ('NaN', 1, NULL, 'NaN');
UPDATE numbers SET id = 1.00 WHERE f = 1.5;
SELECT key, op, after FROM waiting();
ROLLBACK;
DROP TABLE numbers;

----------------------------------------------------------------------
-- Keys
----------------------------------------------------------------------

-- Of more than one column, in the order of the key.
CREATE TABLE composite (a int, b text, c int, PRIMARY KEY (c, a));
SELECT publish('composite');
BEGIN;
INSERT INTO composite VALUES (1, 'x', 2);
UPDATE composite SET b = 'y';
UPDATE composite SET a = 5;
SELECT key, op, before, after, headers FROM waiting();
ROLLBACK;
DROP TABLE composite;

-- A deferrable primary key has to be named: where rows swap their keys, what is told last is that one was deleted.
CREATE TABLE later (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
SELECT publish('later');
SELECT sqlstate, message, detail, hint FROM try($$INSERT INTO later VALUES (1, 'a')$$);
SELECT unpublish('later');
SELECT publish('later', $$, 'key=id'$$);
BEGIN;
INSERT INTO later VALUES (1, 'a'), (2, 'b');
UPDATE later SET id = 3 - id;
SELECT key, op, before, after FROM waiting();
ROLLBACK;
DROP TABLE later;
-- None; then a replica identity; FULL is not one; then a primary key, which comes first.
CREATE TABLE keyless (a int NOT NULL, b int NOT NULL UNIQUE, c text);
SELECT publish('keyless');
SELECT * FROM try('INSERT INTO keyless VALUES (1, 2)');
ALTER TABLE keyless REPLICA IDENTITY FULL;
SELECT sqlstate, message FROM try('INSERT INTO keyless VALUES (1, 2)');
ALTER TABLE keyless REPLICA IDENTITY USING INDEX keyless_b_key;
BEGIN;
INSERT INTO keyless VALUES (1, 2);
SELECT key FROM waiting();
ROLLBACK;
ALTER TABLE keyless ADD PRIMARY KEY (a);
BEGIN;
INSERT INTO keyless VALUES (1, 2);
SELECT key FROM waiting();
ROLLBACK;
DROP TABLE keyless;

-- Named; NULL in it; spelt as identifiers are.
CREATE TABLE named (id int, "Odd, ""name""" text, plain text);
SELECT publish('named', $$, 'key="Odd, ""name""", PLAIN'$$);
BEGIN;
INSERT INTO named VALUES (1, 'x', NULL);
UPDATE named SET plain = 'y';
DELETE FROM named;
SELECT key, op, before, after, headers FROM waiting();
ROLLBACK;
DROP TABLE named;

-- As text: what is a string in JSON has no quotes.
CREATE TABLE texts (k text, i int, t timestamptz, e colour, n numeric, j json);
CREATE FUNCTION key_of(column_name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM publish('texts', format($a$, 'key=%s', 'key_format=text'$a$, column_name));
    INSERT INTO texts VALUES (E'a "b" \\ \t é', -5, '2024-01-01 00:00+00', 'dark "blue"', 1.50, '"\u00e9\u0000"');
    RAISE EXCEPTION 'key: %', (SELECT string_agg(key, ' | ') FROM waiting());
EXCEPTION WHEN raise_exception THEN
    RETURN SQLERRM;
END $$;
SELECT key_of(k) FROM unnest('{k,i,t,e,n,j}'::text[]) k;
SELECT publish('texts', $$, 'key=k', 'key_format=text'$$);
SELECT * FROM try($$INSERT INTO texts VALUES (NULL)$$);
DROP TABLE texts;
DROP FUNCTION key_of;
CREATE TABLE twins (a int, b int, PRIMARY KEY (a, b));
SELECT publish('twins', $$, 'key_format=text'$$);
SELECT * FROM try('INSERT INTO twins VALUES (1, 2)');
DROP TABLE twins;

----------------------------------------------------------------------
-- Formats and the other arguments
----------------------------------------------------------------------

CREATE TABLE plain (id int PRIMARY KEY, v text, p smallint, h jsonb);
SELECT publish('plain', $$, 'format=row', 'columns=v,id'$$);
BEGIN;
INSERT INTO plain VALUES (1, 'a');
UPDATE plain SET v = 'b';
UPDATE plain SET id = 2;
DELETE FROM plain;
SELECT * FROM waiting_raw();
ROLLBACK;
SELECT * FROM try('TRUNCATE plain');
SELECT unpublish('plain');

SELECT publish('plain', $$, 'format=key'$$);
BEGIN;
INSERT INTO plain VALUES (1, 'a');
UPDATE plain SET v = 'b';
UPDATE plain SET id = 2;
DELETE FROM plain;
TRUNCATE plain;
SELECT * FROM waiting_raw();
ROLLBACK;
SELECT unpublish('plain');

SELECT publish('plain', $$, 'tombstone=false', 'partition=3', 'headers={"a": "1", "b": ["x", null]}', 'columns=v'$$);
BEGIN;
INSERT INTO plain VALUES (1, 'a');
DELETE FROM plain;
TRUNCATE plain;
SELECT * FROM waiting();
ROLLBACK;
SELECT unpublish('plain');

-- Of each row its own; of a changed key each message has those of its row.
SELECT publish('plain', $$, 'partition=@P', 'headers=@h', 'columns=id'$$);
BEGIN;
INSERT INTO plain VALUES (1, 'a', 1, '{"old": "yes"}'), (9, 'a', NULL, NULL);
UPDATE plain SET id = 2, p = 2, h = '{"new": "yes"}' WHERE id = 1;
DELETE FROM plain WHERE id = 2;
TRUNCATE plain;
SELECT op, key, headers, partition FROM waiting();
SELECT * FROM try($$INSERT INTO plain VALUES (3, 'a', -1)$$);
SELECT sqlstate, message FROM try($$INSERT INTO plain VALUES (3, 'a', 1, '[]')$$);
ROLLBACK;
DROP TABLE plain;

----------------------------------------------------------------------
-- Misuse
----------------------------------------------------------------------

CREATE TABLE misused (id int PRIMARY KEY, v text);
CREATE FUNCTION misuse(arguments text, OUT sqlstate text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER t AFTER INSERT ON misused FOR EACH ROW EXECUTE FUNCTION kafka_publish(%s)', arguments);
    SELECT t.sqlstate, t.message, t.detail, t.hint INTO sqlstate, message, detail, hint FROM try('INSERT INTO misused VALUES (1)') t;
    DROP TRIGGER t ON misused;
END $$;
\x
SELECT a AS arguments, m.* FROM unnest(ARRAY['', $$'no spaces'$$, $$'t', 'servr=kafka'$$, $$'t', 'outbox'$$, $$'t', 'server=nowhere'$$,
    $$'t', 'format=avro'$$, $$'t', 'format=debzium'$$, $$'t', 'delivery=outbx'$$, $$'t', 'tombstone=perhaps'$$, $$'t', 'numeric=float'$$,
    $$'t', 'key_format=xml'$$, $$'t', 'key='$$, $$'t', 'key=idd'$$, $$'t', 'columns=id,id'$$, $$'t', 'columns=a b'$$, $$'t', 'partition=x'$$,
    $$'t', 'partition=-1'$$, $$'t', 'partition=@v'$$, $$'t', 'partition=@id,v'$$, $$'t', 'headers=@v'$$, $$'t', 'headers=[1]'$$, $$'t', 'headers={'$$,
    $$'t', 'key=id', 'key=v'$$, $$'t', 'format=row', 'tombstone=false'$$]) a, misuse(a) m;
\x
CREATE TRIGGER t BEFORE INSERT ON misused FOR EACH ROW EXECUTE FUNCTION kafka_publish('t');
SELECT * FROM try('INSERT INTO misused VALUES (1)');
DROP TRIGGER t ON misused;
CREATE TRIGGER t AFTER INSERT ON misused EXECUTE FUNCTION kafka_publish('t');
SELECT * FROM try('INSERT INTO misused VALUES (1)');
DROP TRIGGER t ON misused;
CREATE TRIGGER t BEFORE TRUNCATE ON misused EXECUTE FUNCTION kafka_publish('t');
SELECT sqlstate, message FROM try('TRUNCATE misused');
CREATE VIEW misused_view AS SELECT * FROM misused;
CREATE TRIGGER t INSTEAD OF INSERT ON misused_view FOR EACH ROW EXECUTE FUNCTION kafka_publish('t');
SELECT sqlstate, message FROM try('INSERT INTO misused_view VALUES (1)');
SELECT sqlstate, message FROM try('SELECT kafka_publish()');
DROP TABLE misused CASCADE;
DROP FUNCTION misuse;

----------------------------------------------------------------------
-- Tables that change, and that have parts
----------------------------------------------------------------------

CREATE TABLE changing (id int PRIMARY KEY, gone int, doubled int GENERATED ALWAYS AS (id * 2) STORED, v text, p pair);
SELECT publish('changing');
ALTER TABLE changing DROP COLUMN gone;
BEGIN;
INSERT INTO changing (id, v, p) VALUES (1, 'x', ROW(1, 2, NULL));
ALTER TABLE changing ADD COLUMN added int DEFAULT 7;
UPDATE changing SET v = 'y';
ALTER TABLE changing RENAME COLUMN v TO w;
ALTER TABLE changing RENAME TO altered;
UPDATE altered SET w = 'z';
ALTER TABLE altered ALTER COLUMN w TYPE int USING 5;
UPDATE altered SET w = 6;
ALTER TYPE pair ADD ATTRIBUTE d text;
UPDATE altered SET p.d = 'in the pair';
ALTER TABLE altered DROP CONSTRAINT changing_pkey, ADD CONSTRAINT other_key PRIMARY KEY (w);
UPDATE altered SET added = 8;
SELECT key, op, before, after, "table" FROM waiting();
ALTER TABLE altered DROP CONSTRAINT other_key;
SELECT sqlstate, message FROM try('UPDATE altered SET added = 9');
ROLLBACK;
-- A column that an argument names.
CREATE TRIGGER named AFTER INSERT ON changing FOR EACH ROW EXECUTE FUNCTION kafka_publish('t', 'columns=v');
ALTER TABLE changing RENAME COLUMN v TO vv;
SELECT * FROM try('INSERT INTO changing (id) VALUES (1)');
DROP TABLE changing;

-- Values out of line are there, changed or not.
CREATE TABLE toasted (id int PRIMARY KEY, v text, big text, j jsonb);
ALTER TABLE toasted ALTER COLUMN big SET STORAGE EXTERNAL;
SELECT publish('toasted');
BEGIN;
INSERT INTO toasted VALUES (1, 'a', repeat('x', 100000), jsonb_build_object('a', repeat('y', 100000)));
UPDATE toasted SET v = 'b';
DELETE FROM toasted;
SELECT op, length(before) AS before, length(after) AS after FROM waiting();
ROLLBACK;
DROP TABLE toasted;

-- Partitions with other attribute maps: the table's name and owner are those of the whole.
CREATE TABLE whole (id int, v text, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE whole_1 PARTITION OF whole FOR VALUES IN (1);
CREATE TABLE whole_2 (junk int, part int NOT NULL, v text, id int NOT NULL) PARTITION BY RANGE (id);
ALTER TABLE whole_2 DROP COLUMN junk;
CREATE TABLE whole_2_1 (v text, junk int, id int NOT NULL, part int NOT NULL);
ALTER TABLE whole_2_1 DROP COLUMN junk;
ALTER TABLE whole_2 ATTACH PARTITION whole_2_1 FOR VALUES FROM (0) TO (100);
ALTER TABLE whole ATTACH PARTITION whole_2 FOR VALUES IN (2);
SELECT publish('whole', $$, 'columns=id,v,part'$$);
BEGIN;
INSERT INTO whole VALUES (1, 'a', 1), (2, 'b', 2);
UPDATE whole SET v = v || '!';
INSERT INTO whole_2_1 (id, v, part) VALUES (3, 'direct', 2);
UPDATE whole SET part = 2 WHERE id = 1;
TRUNCATE whole;
SELECT key, op, before, after, "table" FROM waiting();
ROLLBACK;
-- A partition that comes later has the trigger too; the columns are its own.
CREATE TABLE whole_3 (part int NOT NULL, id int NOT NULL, v text);
ALTER TABLE whole ATTACH PARTITION whole_3 DEFAULT;
BEGIN;
INSERT INTO whole VALUES (7, 'later', 3);
ALTER TABLE whole RENAME TO renamed;
UPDATE whole_3 SET v = 'renamed';
SELECT key, op, before, after, "table" FROM waiting();
ROLLBACK;
DROP TABLE whole;

-- An inherited table is a table of its own.
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (extra int, PRIMARY KEY (id)) INHERITS (parent);
SELECT publish('parent');
SELECT publish('child');
BEGIN;
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (2, 'c', 5);
UPDATE parent SET v = upper(v);
SELECT key, op, before, after, "table" FROM waiting();
ROLLBACK;
DROP TABLE parent CASCADE;

-- ON CONFLICT, COPY, MERGE, WHEN, UPDATE OF, deferred triggers: whatever fires it.
CREATE TABLE fired (id int PRIMARY KEY, v text);
CREATE CONSTRAINT TRIGGER to_kafka AFTER INSERT OR UPDATE OF v ON fired DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.v <> 'quiet') EXECUTE FUNCTION kafka_publish('publish');
BEGIN;
INSERT INTO fired VALUES (1, 'a'), (2, 'quiet') ON CONFLICT DO NOTHING;
INSERT INTO fired VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET v = excluded.v;
COPY fired FROM STDIN WITH (FORMAT csv);
3,copied
\.
MERGE INTO fired f USING (VALUES (3, 'merged'), (4, 'merged')) s(id, v) ON f.id = s.id
    WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v);
UPDATE fired SET id = 5 WHERE id = 4;
SELECT count(*) FROM kafka_outbox;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT key, op, before, after FROM waiting();
ROLLBACK;
DROP TABLE fired;

-- Triggers that come and go leave nothing behind in the session.
CREATE TABLE shortlived (id int PRIMARY KEY);
DO $$
BEGIN
    FOR i IN 1..200 LOOP
        CREATE TRIGGER t AFTER INSERT ON shortlived FOR EACH ROW EXECUTE FUNCTION kafka_publish('publish', 'delivery=commit');
        BEGIN
            INSERT INTO shortlived VALUES (1);
            RAISE EXCEPTION 'rolled back';
        EXCEPTION WHEN raise_exception THEN
        END;
        DROP TRIGGER t ON shortlived;
    END LOOP;
    ASSERT (SELECT count(*) < 20 FROM pg_backend_memory_contexts WHERE name = 'kafka_publish trigger'), 'contexts are left';
END $$;
DROP TABLE shortlived;

----------------------------------------------------------------------
-- kafka_publish_table() and kafka_unpublish_table()
----------------------------------------------------------------------

CREATE TABLE shop (id int, "Name" text, secret text, PRIMARY KEY (id));
INSERT INTO shop VALUES (1, 'one', 's'), (2, 'two', 's');
CREATE VIEW shop_triggers AS
    SELECT replace(regexp_replace(pg_get_triggerdef(oid), 'publish[_.a-z0-9]*[0-9][_.a-z0-9]*', 'TOPIC', 'g'), ' EXECUTE', E'\n  EXECUTE') AS trigger
    FROM pg_trigger WHERE tgrelid = 'shop'::regclass AND NOT tgisinternal ORDER BY tgtype & 1;
BEGIN;
SELECT kafka_publish_table('shop', :'t', snapshot => true, columns => '{id,Name}');
INSERT INTO shop VALUES (3, 'three', 's');
SELECT key, op, before, after, "table" FROM waiting();
SELECT convert_from(value, 'UTF8')::json -> 'source' ->> 'snapshot' AS snapshot FROM kafka_outbox ORDER BY id;
SELECT * FROM shop_triggers;
SELECT sqlstate, message, hint FROM try($$SELECT kafka_publish_table('shop', topic('publish'))$$);
SELECT kafka_unpublish_table('shop', :'t');
SELECT sqlstate, message FROM try($$SELECT kafka_unpublish_table('shop', topic('publish'))$$);
SELECT * FROM shop_triggers;
SELECT kafka_publish_table('shop', :'t', 'kafka', '{Name,id}', 'row', 'commit');
SELECT * FROM shop_triggers;
ROLLBACK;
-- Topics of long names that begin alike: triggers are named by what fits.
SELECT kafka_create_topic(topic(repeat('long', 20)) || '.' || i, 1) FROM generate_series(1, 2) i;
BEGIN;
SELECT count(kafka_publish_table('shop', topic(repeat('long', 20)) || '.' || i)) FROM generate_series(1, 2) i;
INSERT INTO shop VALUES (3, 'three', 's');
SELECT right(topic, 2) AS topic FROM kafka_outbox ORDER BY id;
SELECT kafka_unpublish_table('shop', topic(repeat('long', 20)) || '.1');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'shop'::regclass ORDER BY tgname;
ROLLBACK;
SELECT kafka_delete_topic(topic(repeat('long', 20)) || '.' || i) FROM generate_series(1, 2) i;
-- What is wrong is an error at once, and no trigger stays.
CREATE VIEW shop_view AS SELECT * FROM shop;
CREATE TABLE no_key (a int);
\x
SELECT a AS arguments, t.sqlstate, t.message, t.hint FROM unnest(ARRAY[
    $$'shop', topic('publish') || '.unknown'$$, $$'shop', 'no spaces'$$, $$'shop', topic('publish'), server => 'nowhere'$$, $$'shop', topic('publish'), key => '{}'$$,
    $$'shop', topic('publish'), key => '{name}'$$, $$'shop', topic('publish'), key => '{NULL}'$$, $$'shop', topic('publish'), columns => '{id,"Name",secrets}'$$,
    $$'shop', topic('publish'), format => 'avro'$$, $$'shop', topic('publish'), delivery => NULL$$, $$'no_key', topic('publish')$$, $$'shop_view', topic('publish')$$,
    $$NULL, topic('publish')$$, $$'shop', NULL$$]) a,
    LATERAL try('SELECT kafka_publish_table(' || a || ')') t;
\x
SELECT * FROM shop_triggers;
DROP TABLE no_key;
DROP VIEW shop_view;
-- Partitions are read through the table they are of.
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 (v text, id int NOT NULL);
ALTER TABLE parts ATTACH PARTITION parts_2 DEFAULT;
INSERT INTO parts VALUES (1, 'a'), (11, 'b');
BEGIN;
SELECT kafka_publish_table('parts', :'t', snapshot => true);
INSERT INTO parts VALUES (12, 'c');
SELECT key, op, before, after, "table" FROM waiting();
SELECT sqlstate, regexp_replace(message, 'kafka_publish\S*', 'TRIGGER', 'g') AS message FROM try($$SELECT kafka_unpublish_table('parts_2', topic('publish'))$$);
SELECT kafka_unpublish_table('parts', :'t');
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('parts'::regclass, 'parts_1'::regclass, 'parts_2'::regclass);
ROLLBACK;
DROP TABLE parts;

----------------------------------------------------------------------
-- Delivery
----------------------------------------------------------------------

-- Immediate: with the statement, whatever becomes of the transaction.
BEGIN;
SELECT kafka_publish_table('shop', :'t', format => 'row', columns => '{Name}', delivery => 'immediate', snapshot => true);
INSERT INTO shop VALUES (3, 'three'), (4, 'four');
SELECT key, value FROM kafka_read(:'t');
UPDATE shop SET "Name" = 'vier' WHERE id = 4;
DELETE FROM shop WHERE id = 3;
ROLLBACK;
SELECT "offset", key, value FROM kafka_read(:'t');
-- Commit: with the transaction.
SELECT kafka_publish_table('shop', :'t', format => 'row', columns => '{Name}', delivery => 'commit', snapshot => true);
BEGIN;
INSERT INTO shop VALUES (3, 'three');
SAVEPOINT s;
INSERT INTO shop VALUES (4, 'not');
ROLLBACK TO s;
DELETE FROM shop WHERE id = 1;
SELECT count(*) FROM kafka_read(:'t', start_offset => '8');
COMMIT;
BEGIN;
INSERT INTO shop VALUES (5, 'not');
ROLLBACK;
SELECT "offset", key, value FROM kafka_read(:'t', start_offset => '6');
SELECT kafka_unpublish_table('shop', :'t');
INSERT INTO shop VALUES (9, 'not published');
SELECT max("offset") FROM kafka_read(:'t');

-- A foreign table's rows can wait in the outbox too.
CREATE FOREIGN TABLE boxed (partition int, "offset" bigint, key text, value text) SERVER kafka OPTIONS (topic :'t', delivery 'outbox');
BEGIN;
INSERT INTO boxed (partition, key, value) VALUES (0, 'k', 'a'), (NULL, 'l', NULL);
INSERT INTO boxed (value) VALUES ('b') RETURNING "offset", value;
COPY boxed (value) FROM STDIN;
copied
\.
SELECT * FROM waiting_raw();
ROLLBACK;
SELECT count(*) FROM kafka_outbox;
CREATE FUNCTION plan_of(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || statement;
END $$;
SELECT plan FROM plan_of($$INSERT INTO boxed (value) VALUES ('x')$$) plan WHERE plan LIKE '%Delivery%';
DROP FUNCTION plan_of;
DROP FOREIGN TABLE boxed;

-- The rows of a foreign table: kafka_publish_table() leaves them alone, as they can change without it; a trigger
-- publishes what this server does to them, and has to be given the key.
SELECT topic('publish_outside') AS outside \gset
SELECT kafka_create_topic(:'outside', 1);
CREATE FOREIGN TABLE outside (key text, value text) SERVER kafka OPTIONS (topic :'outside');
SELECT sqlstate, message, detail FROM try($$SELECT kafka_publish_table('outside', topic('publish'))$$);
CREATE TRIGGER publish AFTER INSERT ON outside FOR EACH ROW EXECUTE FUNCTION kafka_publish(:'t');
SELECT sqlstate, message, hint FROM try($$INSERT INTO outside VALUES ('k', 'v')$$);
DROP TRIGGER publish ON outside;
CREATE TRIGGER publish AFTER INSERT ON outside FOR EACH ROW EXECUTE FUNCTION kafka_publish(:'t', 'key=key', 'format=row');
BEGIN;
INSERT INTO outside VALUES ('k', 'v'), (NULL, 'w');
SELECT * FROM waiting_raw();
ROLLBACK;
DROP FOREIGN TABLE outside;

SELECT sqlstate, message FROM try($$SET LOCAL transaction_read_only = on; SELECT kafka_publish_table('shop', 't')$$);

----------------------------------------------------------------------
-- Rights
----------------------------------------------------------------------

CREATE ROLE regress_kafka_owner;
CREATE ROLE regress_kafka_writer;
CREATE ROLE regress_kafka_maker;
GRANT ALL ON SCHEMA public TO regress_kafka_owner;
GRANT SELECT ON test_run TO PUBLIC;
SET ROLE regress_kafka_owner;
CREATE TABLE owned (id int PRIMARY KEY, v text);
GRANT INSERT, UPDATE, DELETE, SELECT ON owned TO regress_kafka_writer;
GRANT TRIGGER, INSERT ON owned TO regress_kafka_maker;
-- The owner needs USAGE on the server and EXECUTE.
SELECT sqlstate, message FROM try($$SELECT kafka_publish_table('owned', topic('publish'))$$);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER kafka TO regress_kafka_owner;
SET ROLE regress_kafka_owner;
SELECT sqlstate, message FROM try($$SELECT kafka_publish_table('owned', topic('publish'))$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION kafka_publish() TO regress_kafka_owner;
SET ROLE regress_kafka_owner;
SELECT kafka_publish_table('owned', :'t');
RESET ROLE;
-- The writer needs nothing, and does not see what waits; the role that counts is the owner.
BEGIN;
SET LOCAL ROLE regress_kafka_writer;
INSERT INTO owned VALUES (1, 'by the writer');
SELECT count(*) FROM kafka_outbox;
SELECT sqlstate, message FROM try($$SELECT kafka_enqueue(topic('publish'), 'x', server => 'kafka')$$);
SET LOCAL ROLE regress_kafka_owner;
SELECT role, server FROM kafka_outbox;
SELECT after FROM waiting();
ROLLBACK;
-- Who may make triggers may not make this one, nor publish the table, nor end that.
SET ROLE regress_kafka_maker;
SELECT sqlstate, message FROM try($$CREATE TRIGGER t AFTER INSERT ON owned FOR EACH ROW EXECUTE FUNCTION kafka_publish('stolen')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_publish_table('owned', 'stolen')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_unpublish_table('owned', topic('publish'))$$);
RESET ROLE;
-- A function of the owner's that anybody may call changes nothing of that.
SET ROLE regress_kafka_owner;
CREATE FUNCTION owners_insert(i int) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ INSERT INTO public.owned VALUES (i, 'definer') $$;
RESET ROLE;
BEGIN;
SET LOCAL ROLE regress_kafka_maker;
SELECT owners_insert(5);
SET LOCAL ROLE regress_kafka_owner;
SELECT role, convert_from(key, 'UTF8') AS key FROM kafka_outbox;
ROLLBACK;
-- A superuser's writes, by a function or not, lend no right to publish: the owner's counts, as of now.
REVOKE USAGE ON FOREIGN SERVER kafka FROM regress_kafka_owner;
CREATE FUNCTION super_insert(i int) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ INSERT INTO public.owned VALUES (i, 'definer') $$;
SELECT sqlstate, message FROM try('SELECT super_insert(6)');
SELECT sqlstate, message FROM try('INSERT INTO owned VALUES (6)');
-- So do the allowed topics, and who the owner is.
GRANT USAGE ON FOREIGN SERVER kafka TO regress_kafka_owner;
ALTER SERVER kafka OPTIONS (ADD allowed_topics 'other*');
SELECT sqlstate, message FROM try('INSERT INTO owned VALUES (6)');
ALTER SERVER kafka OPTIONS (DROP allowed_topics);
BEGIN;
INSERT INTO owned VALUES (6);
ALTER TABLE owned OWNER TO regress_kafka_writer;
SELECT sqlstate, message FROM try('INSERT INTO owned VALUES (7)');
ROLLBACK;
-- Row security: what is written is published, whoever may read it; a snapshot is refused where some
-- rows would be hidden.
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON owned USING (id < 10) WITH CHECK (true);
BEGIN;
SET LOCAL ROLE regress_kafka_writer;
INSERT INTO owned VALUES (3, 'seen'), (30, 'not seen');
SELECT count(*) FROM owned;
SET LOCAL ROLE regress_kafka_owner;
SELECT key FROM waiting();
SELECT kafka_unpublish_table('owned', :'t');
SELECT kafka_publish_table('owned', :'t', snapshot => true);
SELECT count(*) FROM kafka_outbox;
SELECT kafka_unpublish_table('owned', :'t');
ALTER TABLE owned FORCE ROW LEVEL SECURITY;
SELECT sqlstate, message, detail FROM try($$SELECT kafka_publish_table('owned', topic('publish'), snapshot => true)$$);
SELECT kafka_publish_table('owned', :'t');
ROLLBACK;

-- Without server=: the only one that the owner may use, whatever the session's default is.
CREATE SERVER kafka_other FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers 'localhost:1');
SET ROLE regress_kafka_owner;
SELECT kafka_unpublish_table('owned', :'t');
CREATE TRIGGER t AFTER INSERT ON owned FOR EACH ROW EXECUTE FUNCTION kafka_publish('t');
SET kafka_fdw.default_server = 'kafka_other';
BEGIN;
INSERT INTO owned VALUES (1);
SELECT server FROM kafka_outbox;
ROLLBACK;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER kafka_other TO regress_kafka_owner;
SELECT sqlstate, message, detail, hint FROM try('INSERT INTO owned VALUES (1)');
RESET kafka_fdw.default_server;
DROP SERVER kafka_other;

DROP FUNCTION owners_insert, super_insert;
DROP VIEW shop_triggers;
DROP TABLE owned, shop;
REVOKE ALL ON SCHEMA public FROM regress_kafka_owner;
REVOKE ALL ON FOREIGN SERVER kafka FROM regress_kafka_owner;
REVOKE ALL ON FUNCTION kafka_publish() FROM regress_kafka_owner;
REVOKE SELECT ON test_run FROM PUBLIC;
DROP ROLE regress_kafka_owner, regress_kafka_writer, regress_kafka_maker;
DROP FUNCTION waiting, waiting_raw, publish, unpublish;
DROP TYPE colour, pair, positive CASCADE;
SELECT kafka_delete_topic(:'t');
