-- Kafka into tables, by hand: what may be subscribed to, where rows go, and what a command sees.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SET client_min_messages = warning;
SELECT topic('sub') AS t, topic('sub_json') AS tj \gset
SELECT kafka_create_topic(:'t', 1);
SELECT kafka_create_topic(:'tj', 1);
CREATE SCHEMA sub;
SET search_path = public, sub;
CREATE FOREIGN TABLE sub.src ("offset" bigint, key text, value text, headers jsonb) SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE sub.ended (value text) SERVER kafka OPTIONS (topic :'t', end_offset '5');
CREATE FOREIGN TABLE sub.js (id int, name text, price numeric) SERVER kafka OPTIONS (topic :'tj', format 'json');
CREATE TABLE sub.plain ("offset" bigint, value text);

-- What cannot be
SELECT * FROM try($$SELECT kafka_subscribe(NULL, 'src', 'plain')$$);
SELECT * FROM try($$SELECT kafka_subscribe('', 'src', 'plain')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', NULL, 'plain')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', 'SELECT 1')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'plain', 'plain')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'pg_am_oid_index')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'ended', 'plain')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'test_run')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', mode => 'replace')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', mode => 'upsert')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', key => '{value}')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', on_failure => 'ignore')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', on_data_loss => NULL)$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', batch_size => 0)$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', batch_timeout => '1 month')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', workers => 65)$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', "group" => '')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', start_offset => 'somewhere')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'plain', start_offset => '7')$$);
CREATE TABLE sub.wrong (value int);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', 'wrong')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', command => 'SELECT 1; SELECT 2')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', command => 'COMMIT')$$);
SELECT * FROM try($$SELECT kafka_subscribe('x', 'src', command => 'INSERT INTO nowhere SELECT * FROM src')$$);
SELECT * FROM try($$SELECT kafka_pause('nobody')$$);
SELECT * FROM try($$CALL kafka_ingest('nobody')$$);
BEGIN READ ONLY;
SELECT kafka_subscribe('x', 'src', 'plain');
ROLLBACK;
SELECT count(*) FROM kafka_subscriptions;

-- Where rows go: one target of each kind
CREATE TABLE sub.same ("offset" bigint, gone int, value text, at int DEFAULT 7, n serial, CHECK (value <> 'never'));
ALTER TABLE sub.same DROP COLUMN gone;
CREATE UNIQUE INDEX ON sub.same ("offset");
CREATE TABLE sub.converted ("offset" numeric, value varchar(3));
CREATE TABLE sub.generated ("offset" bigint, twice bigint GENERATED ALWAYS AS ("offset" * 2) STORED, id int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE sub.triggered ("offset" bigint, value text);
CREATE FUNCTION sub.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.value := upper(NEW.value); RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE INSERT ON sub.triggered FOR EACH ROW EXECUTE FUNCTION sub.shout();
CREATE TABLE sub.parted ("offset" bigint, value text) PARTITION BY RANGE ("offset");
CREATE TABLE sub.parted_low PARTITION OF sub.parted FOR VALUES FROM (0) TO (2);
CREATE TABLE sub.parted_high PARTITION OF sub.parted FOR VALUES FROM (2) TO (100);
CREATE TABLE sub.leaf ("offset" bigint, value text);
CREATE VIEW sub.seen AS SELECT value, "offset" FROM sub.leaf;
CREATE TABLE sub.ruled ("offset" bigint, value text);
CREATE RULE twice AS ON INSERT TO sub.ruled DO ALSO INSERT INTO sub.leaf VALUES (-1, 'rule');
SELECT count(kafka_subscribe(name, 'src', name::regclass, workers => 0))
FROM unnest(ARRAY['same', 'converted', 'generated', 'triggered', 'parted', 'parted_low', 'seen', 'ruled']) name;
SELECT kafka_send(:'t', v, k, headers => '{"h": "1"}') FROM (VALUES ('one', 'k'), ('two', NULL), (NULL, 'k'), ('four', '')) x (v, k);
CALL kafka_ingest('same');
SELECT * FROM sub.same;
CALL kafka_ingest('same');
SELECT count(*) FROM sub.same;
SELECT * FROM try($$CALL kafka_ingest('converted')$$);
ALTER TABLE sub.converted ALTER value TYPE varchar(4);
CALL kafka_ingest('converted');
SELECT * FROM sub.converted;
CALL kafka_ingest('generated');
SELECT * FROM sub.generated;
CALL kafka_ingest('triggered');
SELECT * FROM sub.triggered;
CALL kafka_ingest('parted');
SELECT tableoid::regclass, * FROM sub.parted;
SELECT * FROM try($$CALL kafka_ingest('parted_low')$$);
CALL kafka_ingest('seen');
SELECT * FROM sub.leaf;
CALL kafka_ingest('ruled');
SELECT count(*) FROM sub.leaf WHERE value = 'rule';

-- A constraint or an index that refuses one row refuses the batch, offsets included.
SELECT kafka_send(:'t', 'never');
SELECT * FROM try($$CALL kafka_ingest('same')$$);
SELECT * FROM try($$SELECT kafka_seek('same', '{"0": 1000}')$$);
SELECT kafka_seek('same', '1');
ALTER TABLE sub.same DROP CONSTRAINT same_value_check;
SELECT * FROM try($$CALL kafka_ingest('same')$$);
SELECT count(*) FROM sub.same;
SELECT offsets FROM kafka_subscriptions WHERE name = 'same';

-- A batch does not take another one: its command would call itself for as long as there are descriptors.
SELECT kafka_subscribe('itself', 'src', workers => 0, command => $$CALL kafka_ingest('itself')$$);
SELECT * FROM try($$CALL kafka_ingest('itself')$$);
CALL kafka_ingest('itself');
SELECT kafka_unsubscribe('itself');

-- Members of an object, by name; batches of a size
CREATE TABLE sub.items (price numeric(10, 2), name text, id int PRIMARY KEY);
SELECT kafka_subscribe('items', 'js', 'items', workers => 0, batch_size => 2);
SELECT kafka_send(:'tj', v) FROM unnest(ARRAY['{"id": 1, "name": "tea", "price": 1.239}', '{"id": 2}', '{"id": 3, "name": null}']) v;
CALL kafka_ingest('items');
SELECT * FROM sub.items ORDER BY id;
CALL kafka_ingest('items');
SELECT id FROM sub.items ORDER BY id;
SELECT offsets, lag, rows, batches FROM kafka_subscriptions WHERE name = 'items';

-- What a command sees is the batch, however it looks.
CREATE TABLE sub.looks (n bigint, what text);
CREATE FUNCTION sub.newest() RETURNS text LANGUAGE sql AS $$ SELECT value FROM src WHERE value IS NOT NULL ORDER BY "offset" DESC LIMIT 1 $$;
SELECT kafka_subscribe('looks', 'src', workers => 0, batch_size => 3, start_offset => '1', command => $$
    INSERT INTO looks SELECT count(*), 'all ' || newest() FROM src
    UNION ALL SELECT count(*), 'pairs' FROM src a, src b WHERE a."offset" < b."offset"
    UNION ALL SELECT count(*), 'outside' FROM src WHERE "offset" IN (0, 4)
    UNION ALL SELECT min("offset"), 'first' FROM src
    UNION ALL SELECT count(*), 'headers' FROM src WHERE headers ->> 'h' = '1'$$);
SET search_path = public;
CALL kafka_ingest('looks');
SELECT * FROM sub.looks;
BEGIN;
CALL kafka_ingest('looks');
SELECT current_setting('search_path'), current_setting('max_parallel_workers_per_gather') = reset_val FROM pg_settings WHERE name = 'max_parallel_workers_per_gather';
SELECT count(*) FROM sub.src;
ROLLBACK;
SELECT offsets FROM kafka_subscriptions WHERE name = 'looks';
-- a cursor that it opens may outlive the call
SET search_path = public, sub;
CREATE FUNCTION sub.open_cursor() RETURNS void LANGUAGE plpgsql AS $$ DECLARE c refcursor := 'c'; BEGIN OPEN c FOR SELECT "offset" FROM src; END $$;
SELECT kafka_subscribe('cursor', 'src', workers => 0, batch_size => 2, command => 'SELECT open_cursor()');
BEGIN;
CALL kafka_ingest('cursor');
FETCH ALL FROM c;
COMMIT;

SELECT count(kafka_unsubscribe(name)) FROM kafka_subscriptions;
SELECT count(*) FROM kafka_subscription_offset;
DROP SCHEMA sub CASCADE;
