-- mode 'upsert': messages as changes of the target's rows, by key.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
\pset null '(null)'
SET client_min_messages = warning;
SELECT topic('up') AS t, topic('up_raw') AS tr, topic('up_dbz') AS td \gset
SELECT kafka_create_topic(name, 1) FROM unnest(ARRAY[:'t', :'tr', :'td']) name;
CREATE SCHEMA up;
SET search_path = public, up;
CREATE FOREIGN TABLE up.src ("offset" bigint OPTIONS ("offset" 'true'), id int OPTIONS (json_key 'id'), name text, price numeric) SERVER kafka OPTIONS (topic :'t', format 'json');
CREATE FOREIGN TABLE up.raw (key text, value text) SERVER kafka OPTIONS (topic :'tr');

-- The key
CREATE TABLE up.plain (id int PRIMARY KEY, name text, price numeric(10, 2), n int DEFAULT 7);
CREATE TABLE up.no_key (id int, name text);
CREATE TABLE up.odd (id int, name text, price numeric, UNIQUE (name) DEFERRABLE, UNIQUE (name, id));
CREATE UNIQUE INDEX ON up.odd (id) WHERE id > 0;
CREATE UNIQUE INDEX ON up.odd ((price + 1));
CREATE TABLE up.elsewhere (other int PRIMARY KEY, name text);
CREATE TABLE up.wrong (id int PRIMARY KEY, name bytea);
CREATE TABLE up.money_key (price money PRIMARY KEY);
CREATE FOREIGN TABLE up.money_src (price money) SERVER kafka OPTIONS (topic :'t', format 'json');
CREATE VIEW up.seen AS SELECT id, name FROM up.plain;
SELECT a, e.* FROM unnest(ARRAY['''src'', ''plain'', key => ''{name}''', '''src'', ''plain'', key => ''{}''', '''src'', ''plain'', key => ''{id,id}''', '''src'', ''plain'', key => ''{nope}''', '''src'', ''plain'', key => ''{NULL}''',
    '''src'', ''plain'', key => ''{n}''', '''src'', ''no_key''', '''src'', ''no_key'', key => ''{id}''', '''src'', ''odd''', '''src'', ''odd'', key => ''{id}''', '''src'', ''odd'', key => ''{name}''', '''src'', ''odd'', key => ''{price}''',
    '''src'', ''elsewhere''', '''src'', ''wrong''', '''src'', ''seen''', '''src'', ''seen'', key => ''{id}''', '''src'', command => ''SELECT 1''', '''money_src'', ''money_key''']) a,
    try(format($$SELECT kafka_subscribe('x', %s, mode => 'upsert', workers => 0)$$, a)) e;
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', key => '{id}')$$);
SELECT count(*) FROM kafka_subscriptions;

-- The last message of a key counts; a tombstone deletes; what a delete took with it does not come back.
SELECT kafka_subscribe('plain', 'src', 'plain', mode => 'upsert', workers => 0);
SELECT mode, key FROM kafka_subscription;
INSERT INTO plain VALUES (4, 'four', 4, 4), (5, 'five', 5, 5), (6, 'six', 6, 6);
SELECT count(kafka_send(:'t', v, k)) FROM (VALUES ('{"name": "a", "price": 1.239}', '{"id": 1}'), ('{"name": "b"}', '{"id": 2}'), ('{"name": "c", "price": 3}', '{"id": 1}'), (NULL, '{"id": 2}'),
    ('{"name": "d"}', '{"id": 3}'), (NULL, '{"id": 4}'), ('{"name": "e"}', '{"id": 5}'), (NULL, '{"id": 6}'), ('{"name": "f"}', '{"id": 6}'), (NULL, '{"id": 99}')) x (v, k);
CALL kafka_ingest('plain');
SELECT * FROM plain ORDER BY id;
SELECT rows, batches, offsets FROM kafka_subscriptions;
SELECT kafka_seek('plain', 'earliest');
CALL kafka_ingest('plain');
SELECT * FROM plain ORDER BY id;
-- the same one by one
CREATE TABLE up.single (LIKE plain INCLUDING ALL);
INSERT INTO single VALUES (4, 'four', 4, 4), (5, 'five', 5, 5), (6, 'six', 6, 6);
SELECT kafka_subscribe('single', 'src', 'single', mode => 'upsert', workers => 0, batch_size => 1);
SELECT format($$CALL kafka_ingest('single')$$) FROM generate_series(1, 10) \gexec
SELECT * FROM single ORDER BY id;
SELECT kafka_unsubscribe('single');

-- What cannot be
SELECT kafka_send(:'t', NULL::text, '{"di": 1}');
SELECT * FROM try($$CALL kafka_ingest('plain')$$);
SELECT kafka_seek('plain', '11');
SELECT kafka_send(:'t', '{"name": "no key"}'::text);
SELECT * FROM try($$CALL kafka_ingest('plain')$$);
SELECT kafka_seek('plain', '12');
ALTER TABLE plain ADD CHECK (name <> 'never'), ADD UNIQUE (name);
SELECT count(kafka_send(:'t', v, k)) FROM (VALUES ('{"name": "g"}', '{"id": 7}'), ('{"name": "never"}', '{"id": 7}')) x (v, k);
SELECT * FROM try($$CALL kafka_ingest('plain')$$);
SELECT id, name FROM plain ORDER BY id;
SELECT kafka_unsubscribe('plain');
-- a message that is put aside leaves the row as the one before it had it
SELECT kafka_subscribe('plain', 'src', 'plain', mode => 'upsert', workers => 0, start_offset => '10', on_failure => 'dead_letter');
CALL kafka_ingest('plain');
SELECT id, name FROM plain ORDER BY id;
SELECT "offset", value, error FROM kafka_dead_letters WHERE subscription = 'plain' ORDER BY "offset";
SELECT * FROM try($$SELECT kafka_retry_dead_letters('plain')$$);
-- a value of another unique index is handed over: as a whole these would fail
SELECT count(kafka_send(:'t', v, k)) FROM (VALUES ('{"name": "h"}', '{"id": 7}'), ('{"name": "g"}', '{"id": 8}'), ('{"name": "i"}', '{"id": 8}'), ('{"name": "g"}', '{"id": 9}'), ('{"name": "h2"}', '{"id": 7}'), ('{"name": "h"}', '{"id": 1}')) x (v, k);
CALL kafka_ingest('plain');
SELECT count(kafka_send(:'t', v, k)) FROM (VALUES ('{"name": "x"}', '{"id": 7}'), ('{"name": "h2"}', '{"id": 1}'), ('{"name": "h"}', '{"id": 7}')) x (v, k);
CALL kafka_ingest('plain');
SELECT id, name FROM plain ORDER BY id;
SELECT count(*) FROM kafka_dead_letters WHERE subscription = 'plain' AND "offset" > 14;
SELECT kafka_unsubscribe('plain');

-- Keys are equal where the target says so, and stay as they were written first.
CREATE COLLATION up.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE up.folded (key text COLLATE any_case PRIMARY KEY, value text);
CREATE TABLE up.indexed (key text, value text);
CREATE UNIQUE INDEX ON up.indexed (key COLLATE any_case);
CREATE TABLE up.short (key char(3) PRIMARY KEY, value text);
CREATE DOMAIN up.word AS text CHECK (value <> '') NOT NULL;
CREATE TABLE up.domained (key word PRIMARY KEY, value word);
CREATE TABLE up.only_key (key text PRIMARY KEY);
CREATE TABLE up.identity (key text PRIMARY KEY, value text, n int GENERATED ALWAYS AS IDENTITY, twice text GENERATED ALWAYS AS (value || value) STORED);
CREATE TABLE up.parted (key text, value text, PRIMARY KEY (key)) PARTITION BY LIST (key);
CREATE TABLE up.parted_a PARTITION OF up.parted FOR VALUES IN ('a', 'A');
CREATE TABLE up.parted_b PARTITION OF up.parted DEFAULT;
CREATE TABLE up.parent (key text PRIMARY KEY, value text);
CREATE TABLE up.child () INHERITS (up.parent);
INSERT INTO child VALUES ('b', 'of the child'), ('a', 'of the child');
CREATE TABLE up.triggered (gone int, key text PRIMARY KEY, value text);
ALTER TABLE up.triggered DROP COLUMN gone;
CREATE TABLE up.log (what text);
CREATE FUNCTION up.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (TG_OP || ' ' || COALESCE(NEW.key, OLD.key) || ' ' || COALESCE(NEW.value, '-')); RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON up.triggered FOR EACH ROW EXECUTE FUNCTION up.note();
SELECT count(kafka_subscribe(name, 'raw', name::regclass, mode => 'upsert', key => '{key}', workers => 0))
FROM unnest(ARRAY['folded', 'indexed', 'short', 'domained', 'only_key', 'identity', 'parted', 'parent', 'triggered']) name;
SELECT count(kafka_send(:'tr', v, k)) FROM (VALUES ('1', 'a'), ('2', 'A'), ('3', 'a '), ('4', 'b')) x (v, k);
SELECT format('CALL kafka_ingest(%L)', name) FROM kafka_subscriptions ORDER BY name \gexec
SELECT count(kafka_send(:'tr', v, k)) FROM (VALUES (NULL, 'B'), ('5', 'a'), ('6', 'a'), (NULL, 'b'), ('7', 'b')) x (v, k);
SELECT format('CALL kafka_ingest(%L)', name) FROM kafka_subscriptions ORDER BY name \gexec
SELECT format('SELECT %L AS target, * FROM up.%I ORDER BY key COLLATE "C", 3', name, name) FROM kafka_subscriptions WHERE name <> 'only_key' ORDER BY name \gexec
SELECT * FROM only_key ORDER BY key COLLATE "C";
SELECT tableoid::regclass, * FROM parent ORDER BY tableoid::regclass::text, key COLLATE "C";
SELECT what FROM log;
SELECT name, rows FROM kafka_subscriptions ORDER BY name;
SELECT count(kafka_unsubscribe(name)) FROM kafka_subscriptions;

-- Keys of several columns, of other types, and of types that are converted
CREATE TYPE up.mood AS ENUM ('sad', 'ok');
CREATE FOREIGN TABLE up.typed (mood up.mood OPTIONS (json_key 'm'), u uuid OPTIONS (json_key 'u'), v varchar(5) OPTIONS (json_key 'v'), a int[] OPTIONS (json_key 'a'), n numeric OPTIONS (json_key 'n'), value text)
    SERVER kafka OPTIONS (topic :'t', format 'json', start_offset '23');
CREATE TABLE up.keyed (value text, n int, a int[], v text, u uuid, mood up.mood, PRIMARY KEY (mood, u, v, a, n));
SELECT kafka_subscribe('keyed', 'typed', 'keyed', mode => 'upsert', workers => 0);
SELECT count(kafka_send(:'t', format('{"value": "%s"}', v), k)) FROM (VALUES ('{"m": "sad", "u": "11111111-1111-1111-1111-111111111111", "v": "x", "a": [1, 2], "n": 1.4}', '1'), ('{"m": "ok", "u": "11111111-1111-1111-1111-111111111111", "v": "x", "a": [1, 2], "n": 1.4}', '2'),
    ('{"m": "sad", "u": "11111111111111111111111111111111", "v": "x", "a": [1,2], "n": 0.9}', '3')) x (k, v);
CALL kafka_ingest('keyed');
SELECT * FROM keyed ORDER BY mood;
SELECT kafka_send(:'t', NULL::text, '{"m": "ok", "u": "11111111111111111111111111111111", "v": "x", "a": [1,2], "n": 1}');
CALL kafka_ingest('keyed');
SELECT * FROM keyed ORDER BY mood;
SELECT kafka_unsubscribe('keyed');

-- Change events: what they delete, what they lack, and a TRUNCATE among them
CREATE FOREIGN TABLE up.dbz (id int, v text, big text, b bytea) SERVER kafka OPTIONS (topic :'td', format 'debezium');
CREATE TABLE up.mirror (id int PRIMARY KEY, v text, big text NOT NULL DEFAULT 'none', b bytea NOT NULL, w text);
SELECT kafka_subscribe('mirror', 'dbz', 'mirror', mode => 'upsert', workers => 0);
SELECT count(kafka_send(:'td', v, k)) FROM (VALUES
    ('{"op": "r", "after": {"id": 1, "v": "a", "big": "big 1", "b": "AQ=="}}', '{"id": 1}'),
    ('{"op": "r", "after": {"id": 2, "v": "a", "big": "big 2", "b": "AQ=="}}', '{"id": 2}'),
    ('{"op": "r", "after": {"id": 3, "v": "a", "big": "big 3", "b": "AQ=="}}', '{"id": 3}')) x (v, k);
CALL kafka_ingest('mirror');
SELECT count(kafka_send(:'td', v, k)) FROM (VALUES
    ('{"op": "u", "after": {"id": 1, "v": "b", "big": "__debezium_unavailable_value", "b": "Ag=="}}', '{"id": 1}'),
    ('{"op": "u", "after": {"id": 1, "v": "c", "big": "__debezium_unavailable_value", "b": "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="}}', '{"id": 1}'),
    ('{"op": "u", "after": {"id": 2, "v": "b", "big": "new", "b": "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="}}', '{"id": 2}'),
    ('{"op": "u", "after": {"id": 2, "v": "c", "big": "__debezium_unavailable_value", "b": "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="}}', '{"id": 2}'),
    ('{"op": "m"}', NULL),
    ('{"op": "u", "after": {"id": 4, "v": "not seen before", "big": "__debezium_unavailable_value", "b": "AA=="}}', '{"id": 4}'),
    ('{"op": "d", "before": {"id": 3, "v": null}}', '{"id": 3}'), (NULL, '{"id": 3}')) x (v, k);
CALL kafka_ingest('mirror');
SELECT * FROM mirror ORDER BY id;
SELECT count(kafka_send(:'td', v, k)) FROM (VALUES ('{"op": "c", "after": {"id": 5, "v": "before", "big": null}}', '{"id": 5}'), ('{"op": "t"}', NULL), ('{"op": "c", "after": {"id": 6, "v": "after", "big": "6", "b": ""}}', '{"id": 6}')) x (v, k);
CALL kafka_ingest('mirror');
SELECT * FROM mirror ORDER BY id;
-- what is no event stops it, also where bad data is not to be an error
SELECT kafka_send(:'td', '{"op": "z"}'::text);
SELECT * FROM try($$CALL kafka_ingest('mirror')$$);
ALTER FOREIGN TABLE up.dbz OPTIONS (ADD on_error 'set_null');
SELECT * FROM try($$CALL kafka_ingest('mirror')$$);
ALTER FOREIGN TABLE up.dbz OPTIONS (SET on_error 'skip');
SET client_min_messages = error;
CALL kafka_ingest('mirror');
SET client_min_messages = warning;
SELECT offsets FROM kafka_subscriptions;
SELECT kafka_unsubscribe('mirror');
-- What an event lacks is no NULL for a domain to refuse, nor is it kept for each of them; other columns, behind those of the row, are always there.
CREATE FOREIGN TABLE up.wide (id int, a text, b text, c text, d text, e text, f text, g text, "offset" bigint OPTIONS ("offset" 'true')) SERVER kafka OPTIONS (topic :'td', format 'debezium', start_offset '15');
CREATE DOMAIN up.given AS text NOT NULL;
CREATE TABLE up.kept (id int PRIMARY KEY, a up.given, g text, "offset" bigint, room bool);
CREATE FUNCTION up.weigh() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.room := (SELECT total_bytes < 10000000 FROM pg_backend_memory_contexts WHERE name = 'kafka_fdw upsert rows'); RETURN NEW; END $$;
CREATE TRIGGER weigh BEFORE INSERT OR UPDATE ON up.kept FOR EACH ROW EXECUTE FUNCTION up.weigh();
SELECT kafka_subscribe('kept', 'up.wide', 'kept', mode => 'upsert', workers => 0);
SELECT count(kafka_send(:'td', format('{"op": "c", "after": {"id": %s, "a": "%s"}}', i, repeat('x', 900000)))) FROM generate_series(1, 2) i;
CALL kafka_ingest('kept');
SELECT count(kafka_send(:'td', v)) FROM (SELECT '{"op": "u", "after": {"id": 1, "a": "__debezium_unavailable_value", "g": "z"}}' UNION ALL SELECT format('{"op": "c", "after": {"id": 3, "a": "%s"}}', repeat('y', 900000))
    UNION ALL SELECT format('{"op": "u", "after": {"id": 3, "a": "__debezium_unavailable_value", "g": "%s"}}', i) FROM generate_series(1, 50) i) x (v);
CALL kafka_ingest('kept');
SELECT id, length(a), g, "offset", room FROM kept ORDER BY id;
-- A message that the target refuses is named.
ALTER TABLE kept ADD CHECK (g <> 'refused');
SELECT count(kafka_send(:'td', v)) FROM (VALUES ('{"op": "u", "after": {"id": 3, "a": "3", "g": "fine"}}'), ('{"op": "u", "after": {"id": 2, "a": "2", "g": "refused"}}')) x (v);
CREATE FUNCTION up.blame(OUT message text, OUT place text) LANGUAGE plpgsql AS $$ BEGIN EXECUTE $c$CALL kafka_ingest('kept')$c$;
EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, place = PG_EXCEPTION_CONTEXT; place := substring(place FROM 'partition \d+, offset \d+'); END $$;
SELECT * FROM blame();
SELECT kafka_seek('kept', '71');
SELECT count(kafka_send(:'td', v)) FROM (VALUES ('{"op": "c", "after": {"id": 4}}')) x (v);
SELECT * FROM blame();
SELECT kafka_unsubscribe('kept');

-- As the owner, with the privileges of each statement
CREATE ROLE up_owner;
GRANT USAGE ON SCHEMA up TO up_owner;
GRANT SELECT ON test_run TO up_owner;
GRANT USAGE ON FOREIGN SERVER kafka TO up_owner;
CREATE TABLE up.owned (key text PRIMARY KEY, value text);
ALTER TABLE up.owned OWNER TO up_owner;
SET ROLE up_owner;
SELECT * FROM try($$SELECT kafka_subscribe('owned', 'raw', 'owned', mode => 'upsert', workers => 0)$$);
RESET ROLE;
GRANT SELECT ON up.raw TO up_owner;
REVOKE DELETE ON up.owned FROM up_owner;
SET ROLE up_owner;
SELECT * FROM try($$SELECT kafka_subscribe('owned', 'raw', 'owned', mode => 'upsert', workers => 0)$$);
RESET ROLE;
GRANT DELETE ON up.owned TO up_owner;
REVOKE UPDATE ON up.owned FROM up_owner;
SET ROLE up_owner;
SELECT * FROM try($$SELECT kafka_subscribe('owned', 'raw', 'owned', mode => 'upsert', workers => 0)$$);
RESET ROLE;
GRANT UPDATE ON up.owned TO up_owner;
SET ROLE up_owner;
SELECT kafka_subscribe('owned', 'raw', 'owned', mode => 'upsert', workers => 0);
CALL kafka_ingest('owned');
SELECT * FROM owned ORDER BY key;
-- a row that a policy hides: not deleted, and not changed in silence
ALTER TABLE owned ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY seen ON owned USING (key <> 'b');
RESET ROLE;
SELECT kafka_send(:'tr', NULL::text, 'b');
SET ROLE up_owner;
CALL kafka_ingest('owned');
RESET ROLE;
SELECT * FROM owned WHERE key = 'b';
SELECT kafka_send(:'tr', '8', 'b');
SET ROLE up_owner;
SELECT * FROM try($$CALL kafka_ingest('owned')$$);
ALTER TABLE owned NO FORCE ROW LEVEL SECURITY;
CALL kafka_ingest('owned');
SELECT * FROM owned WHERE key = 'b';
RESET ROLE;
REVOKE SELECT ON up.raw FROM up_owner;
SELECT kafka_seek('owned', 'earliest');
SET ROLE up_owner;
SELECT * FROM try($$CALL kafka_ingest('owned')$$);
RESET ROLE;
SELECT kafka_unsubscribe('owned');

-- The key has to stay one.
CREATE TABLE up.moved (key text PRIMARY KEY, value text);
SELECT kafka_subscribe('moved', 'raw', 'moved', mode => 'upsert', workers => 0);
ALTER TABLE up.moved DROP CONSTRAINT moved_pkey;
SELECT * FROM try($$CALL kafka_ingest('moved')$$);
SELECT kafka_unsubscribe('moved');
DELETE FROM kafka_dead_letters;
DROP SCHEMA up CASCADE;
DROP OWNED BY up_owner;
DROP ROLE up_owner;
