-- Delivery "commit": what is held until the transaction commits, and what becomes of it.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT topic('commit') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE held ("offset" bigint, "timestamp" timestamptz, key text, value text, headers jsonb)
    SERVER kafka OPTIONS (topic :'t', delivery 'commit');
-- What the topic has, after what was shown before.
CREATE TABLE shown AS SELECT 0::bigint AS before;
CREATE FUNCTION news() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    seen bigint := (SELECT before FROM shown);
BEGIN
    RETURN QUERY SELECT value FROM held WHERE "offset" >= seen ORDER BY "offset";
    UPDATE shown SET before = (SELECT coalesce(max("offset") + 1, 0) FROM held);
END $$;

CREATE FUNCTION plan_of(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || statement;
END $$;

-- Nothing is sent before the commit, all of it with it, in order; each kind of value.
BEGIN;
SELECT kafka_send_on_commit(:'t', 'one');
SELECT kafka_send_on_commit(:'t', '\x74776f'::bytea, '\x6b'::bytea);
INSERT INTO held (value) VALUES ('three'), ('four');
SELECT kafka_send_on_commit(:'t', '{"n":  5}'::json, 'k');
SELECT kafka_send_on_commit(:'t', '{"n":  6}'::jsonb, 'k', headers => '{"h": "1", "n": null, "e": ""}',
                            "timestamp" => '2024-02-29 12:00:00+00');
SELECT kafka_send_on_commit(:'t', NULL::text, 'gone', partition => 0);
SELECT kafka_send_on_commit(:'t', '', '');
SELECT count(*) FROM held;
COMMIT;
SELECT "offset", key, value, headers, "timestamp" < '2025-01-01' AS old FROM held ORDER BY "offset";
UPDATE shown SET before = 8;

-- A rollback sends nothing, whatever rolls back.
BEGIN;
SELECT kafka_send_on_commit(:'t', 'rolled back');
ROLLBACK;
BEGIN;
INSERT INTO held (value) VALUES ('rolled back');
SELECT 1 / 0;
COMMIT;
SELECT kafka_send_on_commit(:'t', 'rolled back'), 1 / 0;
INSERT INTO held (value) SELECT 'rolled back' FROM generate_series(1, 3) i WHERE 1 / (3 - i) > -1;
SELECT * FROM news();

-- Savepoints, at any depth.
BEGIN;
SELECT kafka_send_on_commit(:'t', 'a');
SAVEPOINT one;
SELECT kafka_send_on_commit(:'t', 'b, not');
SAVEPOINT two;
SELECT kafka_send_on_commit(:'t', 'c, not');
RELEASE two;
ROLLBACK TO one;
SELECT kafka_send_on_commit(:'t', 'd');
SAVEPOINT three;
SAVEPOINT four;
SAVEPOINT five;
SELECT kafka_send_on_commit(:'t', 'e');
RELEASE five;
RELEASE four;
SELECT kafka_send_on_commit(:'t', 'f');
RELEASE three;
SAVEPOINT six;
SELECT kafka_send_on_commit(:'t', 'g, not');
ROLLBACK TO six;
ROLLBACK TO six;
SELECT kafka_send_on_commit(:'t', 'h');
COMMIT;
SELECT * FROM news();

-- Exception blocks; a held statement that fails half way leaves none of its rows.
DO $$
BEGIN
    PERFORM kafka_send_on_commit(topic('commit'), 'before');
    BEGIN
        PERFORM kafka_send_on_commit(topic('commit'), 'inside, not');
        INSERT INTO held (value) SELECT 'row, not' FROM generate_series(1, 3) i WHERE 1 / (3 - i) > -1;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM kafka_send_on_commit(topic('commit'), 'in the handler');
    END;
    BEGIN
        PERFORM kafka_send_on_commit(topic('commit'), 'in a block that succeeds');
    EXCEPTION WHEN division_by_zero THEN
        NULL;
    END;
END $$;
SELECT * FROM news();

-- Procedures commit where they say so.
CREATE PROCEDURE sends() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..4 LOOP
        PERFORM kafka_send_on_commit(topic('commit'), 'procedure ' || i);
        IF i % 2 = 0 THEN
            ROLLBACK;
        ELSE
            COMMIT;
        END IF;
    END LOOP;
END $$;
CALL sends();
SELECT * FROM news();

-- Deferred constraints come before, so that nothing is sent where they fail; deferred triggers may
-- send.
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
BEGIN;
SELECT kafka_send_on_commit(:'t', 'not');
INSERT INTO child VALUES (1);
COMMIT;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM kafka_send_on_commit(topic('commit'), 'deferred trigger ' || NEW.id);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER tell AFTER INSERT ON parent DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION tell();
INSERT INTO parent VALUES (1), (2);
SELECT * FROM news();

-- A cursor that is to outlive the transaction is run to its end at the commit: before the sends.
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT kafka_send_on_commit(topic('commit'), 'cursor ' || i) FROM generate_series(1, 3) i;
COMMIT;
CLOSE c;
SELECT * FROM news();

-- RETURNING does not know yet where the row goes; a view's check option sees the row in time.
INSERT INTO held (value) VALUES ('returned') RETURNING "offset", "timestamp", value;
CREATE VIEW short AS SELECT key, value FROM held WHERE length(value) < 10 WITH CHECK OPTION;
INSERT INTO short (value) VALUES ('short');
INSERT INTO short (value) VALUES ('far too long');
COPY held (value) FROM STDIN;
copied
\.
SELECT * FROM news();
SELECT plan FROM plan_of($$INSERT INTO held (value) VALUES ('x')$$) plan WHERE plan LIKE '%Delivery%';

-- Rows that are routed, beside rows that stay.
SELECT topic('commit_part') AS p \gset
SELECT kafka_create_topic(:'p', 1);
CREATE TABLE whole (id int, value text) PARTITION BY LIST (id);
CREATE TABLE whole_1 PARTITION OF whole FOR VALUES IN (1);
CREATE FOREIGN TABLE whole_2 (id int OPTIONS (key 'true'), value text)
    SERVER kafka OPTIONS (topic :'p', delivery 'commit');
ALTER TABLE whole ATTACH PARTITION whole_2 FOR VALUES IN (2);
BEGIN;
INSERT INTO whole VALUES (1, 'stays'), (2, 'goes');
SELECT count(*) FROM kafka_read(:'p');
COMMIT;
SELECT key, value FROM kafka_read(:'p');

-- What Kafka refuses aborts the transaction, and says of what. Topics are looked up before anything is sent.
CREATE TABLE witness (value text);
BEGIN;
INSERT INTO witness VALUES ('not');
SELECT kafka_send_on_commit(:'t', 'not, as the other topic is not there');
SELECT kafka_send_on_commit(:'t' || '.unknown', 'x');
\set VERBOSITY sqlstate
COMMIT;
\set VERBOSITY default
SELECT * FROM witness;
SELECT * FROM news();
SELECT sqlstate, message, detail, context FROM try($$SELECT kafka_send_on_commit('no spaces', 'x')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_send_on_commit(topic('commit'), NULL::text)$$);
SELECT sqlstate, message FROM try($$SELECT kafka_send_on_commit(topic('commit'), 'x', server => 'nowhere')$$);
SELECT sqlstate, message FROM try($$INSERT INTO held ("offset", value) VALUES (1, 'x')$$);

-- It is the role's right when it sends that counts, not at the commit.
CREATE ROLE regress_kafka_commit;
BEGIN;
SELECT kafka_send_on_commit(:'t', 'by the owner');
SET LOCAL ROLE regress_kafka_commit;
COMMIT;
BEGIN;
SET LOCAL ROLE regress_kafka_commit;
SELECT kafka_send_on_commit('x', 'not', server => 'kafka');
COMMIT;
SELECT * FROM news();

-- A read-only transaction sends nothing, also where it becomes one afterwards.
BEGIN READ ONLY;
SELECT kafka_send_on_commit(:'t', 'not');
COMMIT;
BEGIN;
SELECT kafka_send_on_commit(:'t', 'not');
SET TRANSACTION READ ONLY;
COMMIT;
SELECT * FROM news();

-- A function that is said to be parallel safe, and is not: a worker would take its messages with it.
CREATE FUNCTION unsafe(i int, outbox boolean) RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
    IF outbox THEN
        PERFORM kafka_enqueue(topic('commit'), 'not', server => 'kafka');
    ELSE
        PERFORM kafka_send_on_commit(topic('commit'), 'not');
    END IF;
    RETURN i;
END $$;
CREATE TABLE many AS SELECT generate_series(1, 1000) AS i;
ANALYZE many;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT plan FROM plan_of('SELECT count(unsafe(i, true)) FROM many') plan WHERE plan LIKE '%Gather%';
SELECT o, sqlstate, message FROM unnest(ARRAY['false', 'true']) o, try('SELECT count(unsafe(i, ' || o || ')) FROM many');
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
DROP TABLE many;
DROP FUNCTION unsafe;
SELECT * FROM news();

-- What is held is bounded.
SET kafka_fdw.max_pending_size = '64kB';
BEGIN;
SELECT count(kafka_send_on_commit(topic('commit'), repeat('x', 1000))) FROM generate_series(1, 50);
SAVEPOINT s;
SELECT sqlstate, message, hint FROM try($$
    SELECT count(kafka_send_on_commit(topic('commit'), repeat('x', 1000))) FROM generate_series(1, 50)$$);
-- What a savepoint took back makes room again.
ROLLBACK TO s;
SELECT kafka_send_on_commit(:'t', repeat('y', 1000));
ROLLBACK;
RESET kafka_fdw.max_pending_size;

-- The option's words, and the server's commit_timeout.
SELECT sqlstate, message, hint FROM try($$ALTER FOREIGN TABLE held OPTIONS (SET delivery 'later')$$);
SELECT sqlstate, message, detail FROM try($$ALTER SERVER kafka OPTIONS (ADD commit_timeout '0')$$);
ALTER SERVER kafka OPTIONS (ADD commit_timeout '30s');
SELECT kafka_send_on_commit(:'t', 'with a timeout');
ALTER SERVER kafka OPTIONS (DROP commit_timeout);
SELECT * FROM news();

-- Random nesting, beside a table that is written in the same way: what is in the one is in the other.
CREATE TABLE twin (id serial, value text);
CREATE FUNCTION nest(depth int, seed text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    h int := abs(hashtext(seed));
BEGIN
    FOR i IN 0 .. h % 3 LOOP
        INSERT INTO twin (value) VALUES (seed || '.' || i);
        PERFORM kafka_send_on_commit(topic('commit'), seed || '.' || i);
        IF depth > 0 THEN
            BEGIN
                PERFORM nest(depth - 1, seed || '.' || i);
                IF abs(hashtext(seed || i)) % 3 = 0 THEN
                    RAISE EXCEPTION 'taken back';
                END IF;
            EXCEPTION WHEN raise_exception THEN
                NULL;
            END;
        END IF;
    END LOOP;
END $$;
SELECT count(nest(5, 'seed ' || i)) FROM generate_series(1, 40) i;
SELECT count(*) > 1000 AS enough, array_agg(value ORDER BY id) = (SELECT array_agg(news) FROM news()) AS same FROM twin;

DROP TABLE whole, parent, child, witness, twin, shown;
DROP FOREIGN TABLE held CASCADE;
DROP FUNCTION news, plan_of, nest, tell;
DROP PROCEDURE sends;
DROP ROLE regress_kafka_commit;
SELECT kafka_delete_topic(:'t'), kafka_delete_topic(:'p');
