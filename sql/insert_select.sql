-- A statement that reads what it sends to ends, and reads only what was there before it sent.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SELECT topic('self') AS t, topic('self.other') AS u \gset
SELECT kafka_create_topic(:'t', 2), kafka_create_topic(:'u', 1);
CREATE FOREIGN TABLE st (partition int, "offset" bigint, key text, value text)
    SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE su (partition int, "offset" bigint, key text, value text)
    SERVER kafka OPTIONS (topic :'u');
INSERT INTO st (key, value) SELECT 'k' || n, n FROM generate_series(1, 100) n;
INSERT INTO su (key, value) SELECT 'k' || n, n FROM generate_series(1, 10) n;

-- Into itself, and from one into another.
INSERT INTO st (key, value) SELECT key, value FROM st;
SELECT count(*), count(DISTINCT value) FROM st;
INSERT INTO su (key, value) SELECT key, value FROM st WHERE partition = 0 OR partition = 1;
SELECT count(*) FROM su;
INSERT INTO su (key, value) SELECT key, 'limited' FROM su LIMIT 3;
SELECT count(*) FROM su;
INSERT INTO su (key, value) SELECT key, 'backwards' FROM su WHERE partition = 0 ORDER BY "offset" DESC;
SELECT count(*) FROM su;
INSERT INTO su (key, value) SELECT a.key, 'joined' FROM su a JOIN su b USING (partition, "offset");
SELECT count(*) FROM su;
INSERT INTO su (key, value) SELECT key, 'returned' FROM su WHERE "offset" < 5 RETURNING value;

-- Through a view, another name, another server.
CREATE VIEW su_view AS SELECT key, value FROM su;
INSERT INTO su_view SELECT * FROM su_view;
SELECT count(*) FROM su;
CREATE SERVER kafka_too FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers :'bootstrap');
CREATE FOREIGN TABLE su_too (partition int, "offset" bigint, key text, value text)
    SERVER kafka_too OPTIONS (topic :'u');
INSERT INTO su (key, value) SELECT key, value FROM su_too;
SELECT count(*) FROM su;
DROP FOREIGN TABLE su_too;
DROP SERVER kafka_too;

-- A scan that comes to its first row when messages have been sent already does not see them: the
-- second partition, ...
CREATE TABLE split (key text, value text) PARTITION BY LIST (value);
CREATE FOREIGN TABLE split_a PARTITION OF split FOR VALUES IN ('a')
    SERVER kafka OPTIONS (topic 'split_a');
CREATE FOREIGN TABLE split_b PARTITION OF split FOR VALUES IN ('b')
    SERVER kafka OPTIONS (topic 'split_b');
SELECT topic('self.a') AS a, topic('self.b') AS b \gset
SELECT kafka_create_topic(:'a', 1), kafka_create_topic(:'b', 1);
ALTER FOREIGN TABLE split_a OPTIONS (SET topic :'a');
ALTER FOREIGN TABLE split_b OPTIONS (SET topic :'b');
INSERT INTO split SELECT n, 'a' FROM generate_series(1, 5) n;
INSERT INTO split SELECT n, 'b' FROM generate_series(1, 3) n;
INSERT INTO split SELECT key, CASE value WHEN 'a' THEN 'b' ELSE 'a' END FROM split RETURNING key, value;
SELECT value, count(*) FROM split GROUP BY 1 ORDER BY 1;

-- ... a sub-select, ...
INSERT INTO su (key, value)
    SELECT 'sub', CASE WHEN n > 2 THEN (SELECT count(*) FROM st) ELSE 0 END FROM generate_series(1, 4) n
    RETURNING value;
INSERT INTO st (key, value)
    SELECT 'sub', CASE WHEN n > 2 THEN (SELECT count(*) FROM st) ELSE 0 END FROM generate_series(1, 4) n
    RETURNING value;

-- ... the rest of a statement that inserts in WITH, ...
WITH inserted AS (INSERT INTO st (key, value) SELECT key, 'with' FROM st RETURNING value)
SELECT (SELECT count(*) FROM inserted) AS inserted, (SELECT count(*) FROM st) AS st;
SELECT count(*) FROM st;

-- ... a scan whose rows are sent by a function, ...
SELECT count(kafka_send(:'b', value)) FROM (SELECT value FROM split_a UNION ALL SELECT value FROM split_b) s;
SELECT count(*) FROM split_b;

-- ... and a cursor that was there before.
BEGIN;
DECLARE c CURSOR FOR SELECT count(*) FROM split_b;
INSERT INTO split VALUES ('late', 'b');
FETCH c;
CLOSE c;
SELECT count(*) FROM split_b;
COMMIT;

SELECT kafka_delete_topic(:'t'), kafka_delete_topic(:'u'), kafka_delete_topic(:'a'), kafka_delete_topic(:'b');
