-- kafka_send and kafka_produce: what is sent is what is read back; what cannot be sent says why.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT topic('send') AS t \gset
SELECT kafka_create_topic(:'t', 3);

-- Four overloads; a literal of no type is text. The offset comes back.
SELECT kafka_send(:'t', 'text', partition => 0);
SELECT kafka_send(:'t', 'text with a key', 'k', 0);
SELECT kafka_send(:'t', '\x00ff'::bytea, '\x01'::bytea, 0);
SELECT kafka_send(:'t', '{"b":1,  "a":2}'::json, 'k', 0);
SELECT kafka_send(:'t', '{"b":1,  "a":2}'::jsonb, 'k', 0);
SELECT "offset", key, value FROM kafka_read(:'t', partition => 0) ORDER BY "offset";

-- kafka_produce tells the partition and the timestamp too.
SELECT * FROM kafka_produce(:'t', 'v'::text, key => 'k', partition => 1,
    headers => '{"h": "1", "n": null, "e": "", "two": ["a", "b"], "bin": {"base64": "AP8="}}',
    "timestamp" => '2024-02-29 12:34:56.789123+00');
SELECT partition, "offset", "timestamp" > now() - interval '1 hour' AS recent
    FROM kafka_produce(:'t', '\x'::bytea, partition => 1);
SELECT * FROM kafka_produce(:'t', '1'::json, partition => 1, "timestamp" => '1970-01-01 00:00:00.001+00');
SELECT * FROM kafka_produce(:'t', '1'::jsonb, partition => 1, "timestamp" => '2000-01-01 00:00:00+00');
SELECT "offset", "timestamp" < '2000-01-01' AS old, key, value, headers
    FROM kafka_read(:'t', partition => 1) ORDER BY "offset";

-- A NULL value is a tombstone; an empty value and an empty key are neither NULL nor each other.
SELECT kafka_send(:'t', NULL::text, key => 'gone', partition => 2);
SELECT kafka_send(:'t', NULL::bytea, key => '', partition => 2);
SELECT kafka_send(:'t', NULL::json, key => '', partition => 2);
SELECT kafka_send(:'t', NULL::jsonb, key => 'gone', partition => 2);
SELECT kafka_send(:'t', '', key => '', partition => 2);
SELECT kafka_send(:'t', ''::bytea, key => NULL, partition => 2);
SELECT "offset", key, value, key IS NULL AS no_key, value IS NULL AS tombstone
    FROM kafka_read(:'t', partition => 2) ORDER BY "offset";

-- Without a key the partitioner takes any partition; with one, where Java's client puts it
-- (murmur2: keys a to h in three partitions).
SELECT topic('send_keys') AS k \gset
SELECT kafka_create_topic(:'k', 3);
SELECT key, (kafka_produce(:'k', 'v'::text, key)).partition FROM unnest('{a,b,c,d,e,f,g,h}'::text[]) key;

-- Several messages in one statement are sent one after another.
SELECT array_agg(o - first) AS offsets FROM (
    SELECT o, first_value(o) OVER (ORDER BY i) AS first
    FROM (SELECT i, kafka_send(:'k', i::text, partition => 0) AS o FROM generate_series(1, 5) i) s) s;

-- Arguments that cannot be.
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(NULL, 'v')$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), NULL::text)$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), NULL::bytea)$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), 'v', partition => 3)$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), 'v', partition => -1)$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), 'v', partition => -2147483648)$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), 'v', partition => 2147483647)$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), 'v', "timestamp" => 'infinity')$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), 'v', "timestamp" => '-infinity')$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), 'v', "timestamp" => '1969-12-31 23:59:59.999999+00')$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), 'v', "timestamp" => '1970-01-01 00:00:00+00')$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), 'v', partition => 0, "timestamp" => '9999-12-31 23:59:59.999+00')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_send(topic('send'), 'v', headers => '[1]')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_send('', 'v')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_send('no spaces', 'v')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_send(repeat('x', 250), 'v')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_send(topic('send'), 'v', server => 'nowhere')$$);

-- A message too large is refused before it is sent where librdkafka can tell ...
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send'), repeat('x', 1000001))$$);
-- ... and otherwise by the broker.
SELECT topic('send_small') AS s \gset
SELECT kafka_create_topic(:'s', 1, config => '{"max.message.bytes": "1000"}');
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('send_small'), repeat('x', 2000))$$);
SELECT kafka_send(:'s', 'small');

-- An unknown topic is not made, though this broker would make it.
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('sendd'), 'v')$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_send(topic('sendd'), 'v')$$);
-- A topic that is deleted stays so, and one that is made again works at once; so do new partitions.
SELECT topic('send_again') AS a \gset
SELECT kafka_create_topic(:'a', 1);
SELECT kafka_send(:'a', 'v');
SELECT kafka_delete_topic(:'a');
SELECT sqlstate, message FROM try($$SELECT kafka_send(topic('send_again'), 'v')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_send(topic('send_again'), 'v')$$);
SELECT kafka_create_topic(:'a', 2);
SELECT kafka_send(:'a', 'v', partition => 1);
SELECT kafka_add_partitions(:'a', 4);
SELECT kafka_send(:'a', 'v', partition => 3);
SELECT kafka_delete_topic(:'a');
SELECT kafka_create_topic(:'a', 1);
SELECT sqlstate, message, detail FROM try($$SELECT kafka_send(topic('send_again'), 'v', partition => 3)$$);
SELECT kafka_send(:'a', 'v', partition => 0);
-- With the server's word for it, a send makes the topic.
CREATE SERVER kafka_auto FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers :'bootstrap', allow_auto_create_topics 'true');
SELECT kafka_send(topic('send_auto'), 'v', server => 'kafka_auto');
SET kafka_fdw.default_server = 'kafka';

-- A later ROLLBACK does not unsend, nor does a savepoint's.
SELECT topic('send_rollback') AS r \gset
SELECT kafka_create_topic(:'r', 1);
BEGIN;
SELECT kafka_send(:'r', 'one');
SAVEPOINT s;
SELECT kafka_send(:'r', 'two');
ROLLBACK TO s;
ROLLBACK;
SELECT "offset", value FROM kafka_read(:'r') ORDER BY "offset";

-- Read-only transactions refuse.
BEGIN READ ONLY;
SELECT sqlstate, message FROM try($$SELECT kafka_send(topic('send'), 'v')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_produce(topic('send'), 'v'::text)$$);
COMMIT;
-- Rights: USAGE on the server is the caller's, in a function of a definer the definer's.
CREATE ROLE regress_kafka_sender;
GRANT SELECT ON test_run TO regress_kafka_sender;
SET ROLE regress_kafka_sender;
SELECT sqlstate, message FROM try(format($$SELECT kafka_send(%L, 'v', server => 'kafka')$$, :'t'));
RESET ROLE;
CREATE FUNCTION send_as_owner(t text) RETURNS bigint SECURITY DEFINER LANGUAGE sql
    AS $$ SELECT kafka_send(t, 'as owner', server => 'kafka') $$;
SET ROLE regress_kafka_sender;
SELECT send_as_owner(:'r');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER kafka TO regress_kafka_sender;
SET ROLE regress_kafka_sender;
SELECT kafka_send(:'r', 'as sender');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER kafka FROM regress_kafka_sender;
SET ROLE regress_kafka_sender;
SELECT sqlstate, message FROM try(format($$SELECT kafka_send(%L, 'v', server => 'kafka')$$, :'r'));
RESET ROLE;

-- What decides the server is looked at again when it changes: setting, membership, options.
CREATE ROLE regress_kafka_senders;
GRANT USAGE ON FOREIGN SERVER kafka TO regress_kafka_senders;
GRANT regress_kafka_senders TO regress_kafka_sender;
SET ROLE regress_kafka_sender;
SELECT kafka_send(:'r', 'as member');
RESET ROLE;
REVOKE regress_kafka_senders FROM regress_kafka_sender;
SET ROLE regress_kafka_sender;
SELECT sqlstate, message FROM try(format($$SELECT kafka_send(%L, 'v')$$, :'r'));
RESET ROLE;
SELECT kafka_send(:'r', 'default') IS NOT NULL AS sent;
SET kafka_fdw.default_server = 'nowhere';
SELECT sqlstate, message FROM try(format($$SELECT kafka_send(%L, 'v')$$, :'r'));
SET kafka_fdw.default_server = 'kafka';
ALTER SERVER kafka OPTIONS (ADD allowed_topics 'other*');
SELECT sqlstate, message FROM try(format($$SELECT kafka_send(%L, 'v')$$, :'r'));
ALTER SERVER kafka OPTIONS (DROP allowed_topics);
SELECT kafka_send(:'r', 'default') IS NOT NULL AS sent;
DROP OWNED BY regress_kafka_senders;
DROP ROLE regress_kafka_senders;

-- A server that nobody answers at: not stored, within the time set for it.
CREATE SERVER kafka_gone FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers '127.0.0.1:1', metadata_timeout '200ms');
SELECT sqlstate, message, hint FROM try($$SELECT kafka_send('t', 'v', server => 'kafka_gone')$$);
SET statement_timeout = '300ms';
ALTER SERVER kafka_gone OPTIONS (SET metadata_timeout '1min');
SELECT kafka_send('t', 'v', server => 'kafka_gone');
RESET statement_timeout;
-- The session goes on.
SELECT kafka_send(:'r', 'after all this', server => 'kafka');

-- The producer is kept: one for the server, however many sends.
SELECT kafka_disconnect() > 0 AS closed;
DO $$
BEGIN
    FOR i IN 1..100 LOOP
        PERFORM kafka_send(topic('send_rollback'), i::text, server => 'kafka');
    END LOOP;
END $$;
SELECT kind, in_use, uses FROM kafka_connections WHERE server = 'kafka';

DROP SERVER kafka_auto;
DROP SERVER kafka_gone;
DROP FUNCTION send_as_owner(text);
REVOKE SELECT ON test_run FROM regress_kafka_sender;
DROP ROLE regress_kafka_sender;
