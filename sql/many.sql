-- One statement over many topics: a scan that is at its end does not keep a connection.
SELECT topic('many') AS t \gset
SELECT kafka_create_topic(:'t', 2);
CREATE SCHEMA many;
SET search_path = public, many;
SET client_min_messages = warning;
CREATE TABLE many.parent (partition int, "offset" bigint, value text);
SET many.topic = :'t';
DO $$ BEGIN
    FOR n IN 1..20 LOOP
        EXECUTE format('CREATE FOREIGN TABLE many.child_%s () INHERITS (many.parent) SERVER kafka OPTIONS (topic %L)',
                       n, current_setting('many.topic'));
    END LOOP;
END $$;
INSERT INTO many.child_1 (partition, value) SELECT n % 2, n::text FROM generate_series(1, 10) n;
CREATE FUNCTION many.handles() RETURNS text LANGUAGE sql VOLATILE PARALLEL RESTRICTED
    RETURN (SELECT CASE WHEN count(*) <= 6 THEN 'few' ELSE count(*)::text END FROM kafka_connections WHERE in_use);

-- The cursor is at its end, and the plan still open.
BEGIN;
DECLARE c CURSOR FOR SELECT partition, "offset", value FROM many.parent;
MOVE FORWARD ALL IN c;
SELECT many.handles();
FETCH 1 FROM c;
CLOSE c;
-- Again and again, with other parameters; and backwards
DECLARE c CURSOR FOR
    SELECT p, x.* FROM generate_series(0, 2) p,
        LATERAL (SELECT count(*), count(DISTINCT tableoid), sum(value::int), max("offset") FROM many.parent WHERE partition = p) x;
FETCH ALL FROM c;
SELECT many.handles();
CLOSE c;
SELECT format('DECLARE c CURSOR FOR SELECT count(*), sum("offset") FROM (%s) x',
              string_agg(format('(SELECT "offset" FROM many.child_%s WHERE partition = 1 ORDER BY "offset" DESC LIMIT 9)', n), ' UNION ALL '))
FROM generate_series(1, 20) n \gexec
FETCH ALL FROM c;
SELECT many.handles();
CLOSE c;
COMMIT;
-- All of them look at the topic's ends before the first row is sent there.
CREATE TABLE many.seen (handles text);
CREATE FUNCTION many.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO many.seen SELECT many.handles(); RETURN NEW; END $$;
CREATE TRIGGER look BEFORE INSERT ON many.child_1 FOR EACH ROW EXECUTE FUNCTION many.look();
INSERT INTO many.child_1 (partition, value) SELECT partition, '0' FROM many.parent WHERE value = '1';
SELECT handles, count(*) FROM many.seen GROUP BY handles;
DROP TRIGGER look ON many.child_1;
-- Shared by several processes: the leader has looked at all of them before the first is read.
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET max_parallel_workers_per_gather = 2;
SELECT count(*), sum(value::int), many.handles() FROM many.parent;
SELECT p, x.* FROM generate_series(0, 2) p, LATERAL (SELECT count(*), sum(value::int) FROM many.parent WHERE partition = p) x;
DROP SCHEMA many CASCADE;
