-- dev/demo.sql
--		The tour that dev/demo takes. "bootstrap" is the broker's address.

CREATE EXTENSION kafka_fdw;

CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers :'bootstrap');

-- A topic of two partitions, and a message: the answer is its offset.
SELECT kafka_create_topic('web_log', 2);

SELECT kafka_send('web_log', 'this is a test log');

-- The topic as a table.
CREATE FOREIGN TABLE web_log (
    partition int, "offset" bigint, "timestamp" timestamptz, key text, value text, headers jsonb
) SERVER kafka;

INSERT INTO web_log (key, value, headers)
    VALUES ('alice', 'GET /', '{"status": "200"}'),
           ('bob', 'GET /nowhere', '{"status": "404"}');

SELECT partition, "offset", key, value, headers FROM web_log;

-- Conditions on partition, offset and timestamp become where Kafka is asked to read.
EXPLAIN (COSTS OFF)
    SELECT value FROM web_log WHERE partition = 0 AND "offset" >= 1;

-- The end of a topic, without a table.
SELECT key, value FROM kafka_last('web_log', 2);

-- A table that begins at the end of the topic, and waits for what comes.
CREATE FOREIGN TABLE web_log_tail (partition int, "offset" bigint, value text)
    SERVER kafka OPTIONS (topic 'web_log', start_offset 'newest', wait_timeout '1min');
