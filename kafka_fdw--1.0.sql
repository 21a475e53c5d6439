/* kafka_fdw--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION kafka_fdw" to load this file. \quit

----------------------------------------------------------------------
-- The foreign data wrapper
----------------------------------------------------------------------

CREATE FUNCTION @extschema@.kafka_fdw_handler()
RETURNS pg_catalog.fdw_handler
AS 'MODULE_PATHNAME' LANGUAGE C STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.kafka_fdw_handler()
    IS 'foreign data wrapper handler of kafka_fdw';

CREATE FUNCTION @extschema@.kafka_fdw_validator(pg_catalog.text[], pg_catalog.oid)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.kafka_fdw_validator(pg_catalog.text[], pg_catalog.oid)
    IS 'checks the options of kafka_fdw''s servers, user mappings, foreign tables and columns';

CREATE FOREIGN DATA WRAPPER kafka_fdw
    HANDLER @extschema@.kafka_fdw_handler
    VALIDATOR @extschema@.kafka_fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER kafka_fdw
    IS 'Apache Kafka topics as foreign tables';

CREATE FUNCTION @extschema@.kafka_get_watermarks(
    rel pg_catalog.regclass,
    OUT partition pg_catalog.int4,
    OUT offset_low pg_catalog.int8,
    OUT offset_high pg_catalog.int8)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION @extschema@.kafka_get_watermarks(pg_catalog.regclass)
    IS 'the first offset and the high watermark of each partition of a foreign table''s topic';

-- 0.0.3 has the objects so far. What follows is also the rest of the update from it: see the Makefile.

CREATE TYPE @extschema@.kafka_header AS (
    name pg_catalog.text,
    value pg_catalog.bytea
);
COMMENT ON TYPE @extschema@.kafka_header
    IS 'one header of a Kafka message; kafka_header[] is the lossless form of a message''s headers';
COMMENT ON COLUMN @extschema@.kafka_header.name
    IS 'the header''s name, which may occur more than once in a message';
COMMENT ON COLUMN @extschema@.kafka_header.value
    IS 'its value, or NULL';

----------------------------------------------------------------------
-- Sending
----------------------------------------------------------------------

CREATE FUNCTION @extschema@.kafka_send(
    topic pg_catalog.text,
    value pg_catalog.text,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'kafka_send_text' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_send(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'send a message to a topic, wait until all in-sync replicas have it, and return its offset';

CREATE FUNCTION @extschema@.kafka_send(
    topic pg_catalog.text,
    value pg_catalog.bytea,
    key pg_catalog.bytea DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'kafka_send_bytea' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_send(pg_catalog.text, pg_catalog.bytea, pg_catalog.bytea, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'send a message to a topic, wait until all in-sync replicas have it, and return its offset';

CREATE FUNCTION @extschema@.kafka_send(
    topic pg_catalog.text,
    value pg_catalog.json,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'kafka_send_text' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_send(pg_catalog.text, pg_catalog.json, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'send a message to a topic, wait until all in-sync replicas have it, and return its offset';

CREATE FUNCTION @extschema@.kafka_send(
    topic pg_catalog.text,
    value pg_catalog.jsonb,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'kafka_send_jsonb' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_send(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'send a message to a topic, wait until all in-sync replicas have it, and return its offset';

CREATE FUNCTION @extschema@.kafka_produce(
    topic pg_catalog.text,
    value pg_catalog.text,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL,
    OUT partition pg_catalog.int4,
    OUT "offset" pg_catalog.int8,
    OUT "timestamp" pg_catalog.timestamptz)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'kafka_produce_text' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_produce(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'send a message as kafka_send does, and return its partition, offset and timestamp';

CREATE FUNCTION @extschema@.kafka_produce(
    topic pg_catalog.text,
    value pg_catalog.bytea,
    key pg_catalog.bytea DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL,
    OUT partition pg_catalog.int4,
    OUT "offset" pg_catalog.int8,
    OUT "timestamp" pg_catalog.timestamptz)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'kafka_produce_bytea' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_produce(pg_catalog.text, pg_catalog.bytea, pg_catalog.bytea, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'send a message as kafka_send does, and return its partition, offset and timestamp';

CREATE FUNCTION @extschema@.kafka_produce(
    topic pg_catalog.text,
    value pg_catalog.json,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL,
    OUT partition pg_catalog.int4,
    OUT "offset" pg_catalog.int8,
    OUT "timestamp" pg_catalog.timestamptz)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'kafka_produce_text' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_produce(pg_catalog.text, pg_catalog.json, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'send a message as kafka_send does, and return its partition, offset and timestamp';

CREATE FUNCTION @extschema@.kafka_produce(
    topic pg_catalog.text,
    value pg_catalog.jsonb,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL,
    OUT partition pg_catalog.int4,
    OUT "offset" pg_catalog.int8,
    OUT "timestamp" pg_catalog.timestamptz)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'kafka_produce_jsonb' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_produce(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'send a message as kafka_send does, and return its partition, offset and timestamp';

----------------------------------------------------------------------
-- Sending when the transaction commits
----------------------------------------------------------------------

CREATE FUNCTION @extschema@.kafka_send_on_commit(
    topic pg_catalog.text,
    value pg_catalog.text,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'kafka_send_on_commit_text' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_send_on_commit(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'hold a message until the transaction commits, then send it, and commit only if Kafka has it';

CREATE FUNCTION @extschema@.kafka_send_on_commit(
    topic pg_catalog.text,
    value pg_catalog.bytea,
    key pg_catalog.bytea DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'kafka_send_on_commit_bytea' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_send_on_commit(pg_catalog.text, pg_catalog.bytea, pg_catalog.bytea, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'hold a message until the transaction commits, then send it, and commit only if Kafka has it';

CREATE FUNCTION @extschema@.kafka_send_on_commit(
    topic pg_catalog.text,
    value pg_catalog.json,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'kafka_send_on_commit_text' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_send_on_commit(pg_catalog.text, pg_catalog.json, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'hold a message until the transaction commits, then send it, and commit only if Kafka has it';

CREATE FUNCTION @extschema@.kafka_send_on_commit(
    topic pg_catalog.text,
    value pg_catalog.jsonb,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'kafka_send_on_commit_jsonb' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_send_on_commit(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'hold a message until the transaction commits, then send it, and commit only if Kafka has it';

----------------------------------------------------------------------
-- The outbox
----------------------------------------------------------------------

CREATE SEQUENCE @extschema@.kafka_outbox_id;
COMMENT ON SEQUENCE @extschema@.kafka_outbox_id
    IS 'the numbers of the messages in the outbox';

-- Rows are only ever inserted, into one of the three at a time; one whose rows are all sent is
-- truncated. Only C code inserts, so nobody is granted that.
CREATE TABLE @extschema@.kafka_outbox_0 (
    id pg_catalog.int8 NOT NULL,
    xid pg_catalog.xid8 NOT NULL,
    serverid pg_catalog.oid NOT NULL,
    mapping pg_catalog.regrole NOT NULL,
    server pg_catalog.text NOT NULL,
    role pg_catalog.regrole NOT NULL,
    queued_at pg_catalog.timestamptz NOT NULL,
    topic pg_catalog.text NOT NULL,
    partition pg_catalog.int4,
    key pg_catalog.bytea,
    value pg_catalog.bytea,
    headers @extschema@.kafka_header[],
    "timestamp" pg_catalog.timestamptz
);
CREATE INDEX kafka_outbox_0_id ON @extschema@.kafka_outbox_0 (serverid, mapping, id);
CREATE INDEX kafka_outbox_0_xid ON @extschema@.kafka_outbox_0 (xid, id);
COMMENT ON TABLE @extschema@.kafka_outbox_0
    IS 'messages that wait for a relay, or were sent by one; see the view kafka_outbox';

CREATE TABLE @extschema@.kafka_outbox_1 (LIKE @extschema@.kafka_outbox_0 INCLUDING ALL);
COMMENT ON TABLE @extschema@.kafka_outbox_1
    IS 'messages that wait for a relay, or were sent by one; see the view kafka_outbox';

CREATE TABLE @extschema@.kafka_outbox_2 (LIKE @extschema@.kafka_outbox_0 INCLUDING ALL);
COMMENT ON TABLE @extschema@.kafka_outbox_2
    IS 'messages that wait for a relay, or were sent by one; see the view kafka_outbox';

CREATE TABLE @extschema@.kafka_outbox_current (n pg_catalog.int4 NOT NULL);
INSERT INTO @extschema@.kafka_outbox_current VALUES (0);
COMMENT ON TABLE @extschema@.kafka_outbox_current
    IS 'the number of the outbox table that messages are inserted into';

-- A publication FOR ALL TABLES has these among them; without a replica identity no row of theirs could be changed.
ALTER TABLE @extschema@.kafka_outbox_0 REPLICA IDENTITY FULL;
ALTER TABLE @extschema@.kafka_outbox_1 REPLICA IDENTITY FULL;
ALTER TABLE @extschema@.kafka_outbox_2 REPLICA IDENTITY FULL;
ALTER TABLE @extschema@.kafka_outbox_current REPLICA IDENTITY FULL;

CREATE TABLE @extschema@.kafka_relay (
    serverid pg_catalog.oid NOT NULL,
    mapping pg_catalog.regrole NOT NULL,
    server pg_catalog.text NOT NULL,
    identity pg_catalog.uuid NOT NULL,
    system_identifier pg_catalog.int8 NOT NULL,
    databaseid pg_catalog.oid NOT NULL,
    pid pg_catalog.int4,
    segment pg_catalog.int8,
    state pg_catalog.text NOT NULL,
    stopped pg_catalog.bool NOT NULL DEFAULT false,
    last_error pg_catalog.text,
    last_error_at pg_catalog.timestamptz,
    all_stopped pg_catalog.bool NOT NULL DEFAULT false, -- those of the server that come later, too
    PRIMARY KEY (serverid, mapping)
);
COMMENT ON TABLE @extschema@.kafka_relay
    IS 'the relays and what they are doing; see the view kafka_relays';
GRANT SELECT ON @extschema@.kafka_relay TO pg_monitor;

-- Apart from kafka_relay, which writers look into: a row is updated with each batch.
CREATE TABLE @extschema@.kafka_relay_progress (
    serverid pg_catalog.oid NOT NULL,
    mapping pg_catalog.regrole NOT NULL,
    done pg_catalog.pg_snapshot NOT NULL,
    done_id pg_catalog.int8 NOT NULL,
    round pg_catalog.pg_snapshot,
    round_id pg_catalog.int8 NOT NULL,
    last_id pg_catalog.int8 NOT NULL,
    batch pg_catalog.text,
    batch_to pg_catalog.int8,
    batch_rows pg_catalog.int8,
    excluded pg_catalog.int8[] NOT NULL DEFAULT '{}',
    sent pg_catalog.int8 NOT NULL DEFAULT 0,
    refused pg_catalog.int8 NOT NULL DEFAULT 0,
    last_success pg_catalog.timestamptz,
    PRIMARY KEY (serverid, mapping)
);
COMMENT ON TABLE @extschema@.kafka_relay_progress
    IS 'how far each relay has come; see the view kafka_relays';
GRANT SELECT ON @extschema@.kafka_relay_progress TO pg_monitor;

-- Granted to nobody: all rows with their messages.
CREATE VIEW @extschema@.kafka_outbox_rows AS
    SELECT o.*
    FROM (SELECT * FROM @extschema@.kafka_outbox_0
          UNION ALL SELECT * FROM @extschema@.kafka_outbox_1
          UNION ALL SELECT * FROM @extschema@.kafka_outbox_2) o
    LEFT JOIN @extschema@.kafka_relay_progress p ON p.serverid = o.serverid AND p.mapping = o.mapping
    WHERE p.serverid IS NULL
        OR NOT (pg_catalog.pg_visible_in_snapshot(o.xid, p.done)
                OR p.round IS NOT NULL AND o.id <= p.last_id
                   AND pg_catalog.pg_visible_in_snapshot(o.xid, p.round));
COMMENT ON VIEW @extschema@.kafka_outbox_rows
    IS 'the rows of the outbox that wait to be relayed; see the view kafka_outbox';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.id IS 'its number; a later one was stored later';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.xid IS 'the transaction that stored it';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.serverid IS 'pg_foreign_server.oid';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.mapping IS 'whose user mapping is used; 0: public';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.server IS 'the server it is for';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.role IS 'who stored it';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.queued_at IS 'when it was stored';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.topic IS 'the topic it is for';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.partition IS 'the partition that was asked for; NULL: by the key';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.key IS 'its key';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.value IS 'its value; NULL: a tombstone';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows.headers IS 'its headers';
COMMENT ON COLUMN @extschema@.kafka_outbox_rows."timestamp" IS 'the timestamp that was given';

CREATE VIEW @extschema@.kafka_outbox WITH (security_barrier = true) AS
    SELECT id, queued_at, server, topic, partition, key, value, headers, role
    FROM @extschema@.kafka_outbox_rows
    WHERE pg_catalog.pg_has_role(role::pg_catalog.oid, 'USAGE');
COMMENT ON VIEW @extschema@.kafka_outbox
    IS 'the messages that wait to be relayed to Kafka; a role sees its own';
COMMENT ON COLUMN @extschema@.kafka_outbox.id IS 'its number; a later one was stored later';
COMMENT ON COLUMN @extschema@.kafka_outbox.queued_at IS 'when it was stored';
COMMENT ON COLUMN @extschema@.kafka_outbox.server IS 'the server it is for';
COMMENT ON COLUMN @extschema@.kafka_outbox.topic IS 'the topic it is for';
COMMENT ON COLUMN @extschema@.kafka_outbox.partition IS 'the partition that was asked for; NULL: by the key';
COMMENT ON COLUMN @extschema@.kafka_outbox.key IS 'its key';
COMMENT ON COLUMN @extschema@.kafka_outbox.value IS 'its value; NULL: a tombstone';
COMMENT ON COLUMN @extschema@.kafka_outbox.headers IS 'its headers';
COMMENT ON COLUMN @extschema@.kafka_outbox.role IS 'who stored it';
GRANT SELECT ON @extschema@.kafka_outbox TO PUBLIC;

-- All relays, and no message. A process that ended, however it did, is none.
CREATE VIEW @extschema@.kafka_relays AS
    SELECT r.server, CASE WHEN r.mapping::pg_catalog.oid = 0 THEN 'public' ELSE r.mapping::pg_catalog.text END AS mapping,
           CASE WHEN r.state = 'fenced' OR r.system_identifier <> c.system_identifier OR r.databaseid <> d.oid THEN 'fenced'
                WHEN r.stopped THEN 'stopped'
                WHEN a.pid IS NULL THEN 'down' ELSE r.state END AS state, a.pid,
           w.waiting, w.oldest, w.bytes, p.sent, p.refused, r.last_error, r.last_error_at, p.last_success
    FROM @extschema@.kafka_relay r
    CROSS JOIN pg_catalog.pg_control_system() c
    CROSS JOIN (SELECT oid FROM pg_catalog.pg_database
                WHERE datname = pg_catalog.current_database()) d
    LEFT JOIN @extschema@.kafka_relay_progress p ON p.serverid = r.serverid AND p.mapping = r.mapping
    LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) a ON a.pid = r.pid AND a.datid = d.oid
        AND a.backend_type = 'kafka_fdw relay'
    LEFT JOIN LATERAL (
        SELECT pg_catalog.count(*) AS waiting, pg_catalog.min(o.queued_at) AS oldest,
               coalesce(pg_catalog.sum(pg_catalog.pg_column_size(o.value)), 0)::pg_catalog.int8 AS bytes
        FROM @extschema@.kafka_outbox_rows o
        WHERE o.serverid = r.serverid AND o.mapping = r.mapping) w ON true;
COMMENT ON VIEW @extschema@.kafka_relays
    IS 'the relays, what they are doing and how far they have come; contacts nobody';
COMMENT ON COLUMN @extschema@.kafka_relays.server IS 'the server';
COMMENT ON COLUMN @extschema@.kafka_relays.mapping IS 'whose user mapping is used; public: that of all, or none';
COMMENT ON COLUMN @extschema@.kafka_relays.state IS 'starting, running, waiting (see last_error), stopped, down or fenced';
COMMENT ON COLUMN @extschema@.kafka_relays.pid IS 'its process; NULL: none';
COMMENT ON COLUMN @extschema@.kafka_relays.waiting IS 'messages that wait';
COMMENT ON COLUMN @extschema@.kafka_relays.oldest IS 'when the oldest of them was stored';
COMMENT ON COLUMN @extschema@.kafka_relays.bytes IS 'what their values take';
COMMENT ON COLUMN @extschema@.kafka_relays.sent IS 'messages sent so far';
COMMENT ON COLUMN @extschema@.kafka_relays.refused IS 'messages that Kafka refused for good; see kafka_dead_letters';
COMMENT ON COLUMN @extschema@.kafka_relays.last_error IS 'what went wrong last';
COMMENT ON COLUMN @extschema@.kafka_relays.last_error_at IS 'when';
COMMENT ON COLUMN @extschema@.kafka_relays.last_success IS 'when messages were sent last';
GRANT SELECT ON @extschema@.kafka_relays TO pg_monitor;

CREATE VIEW @extschema@.kafka_outbox_stats AS
    SELECT o.server, o.topic, pg_catalog.count(*) AS waiting, pg_catalog.min(o.queued_at) AS oldest,
           pg_catalog.sum(coalesce(pg_catalog.pg_column_size(o.value), 0))::pg_catalog.int8 AS bytes
    FROM @extschema@.kafka_outbox_rows o
    GROUP BY o.server, o.topic;
COMMENT ON VIEW @extschema@.kafka_outbox_stats
    IS 'how many messages wait to be relayed to each topic, since when, and how large they are';
COMMENT ON COLUMN @extschema@.kafka_outbox_stats.server IS 'the server';
COMMENT ON COLUMN @extschema@.kafka_outbox_stats.topic IS 'the topic';
COMMENT ON COLUMN @extschema@.kafka_outbox_stats.waiting IS 'messages that wait';
COMMENT ON COLUMN @extschema@.kafka_outbox_stats.oldest IS 'when the oldest of them was stored';
COMMENT ON COLUMN @extschema@.kafka_outbox_stats.bytes IS 'what their values take';
GRANT SELECT ON @extschema@.kafka_outbox_stats TO pg_monitor;

CREATE TABLE @extschema@.kafka_dead_letters (
    id pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription pg_catalog.text,
    relay pg_catalog.text,
    topic pg_catalog.text NOT NULL,
    partition pg_catalog.int4,
    "offset" pg_catalog.int8,
    "timestamp" pg_catalog.timestamptz,
    key pg_catalog.bytea,
    value pg_catalog.bytea,
    headers @extschema@.kafka_header[],
    error pg_catalog.text NOT NULL,
    failed_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    role pg_catalog.regrole NOT NULL
);
COMMENT ON TABLE @extschema@.kafka_dead_letters
    IS 'messages that Kafka refused for good, or that could not be taken from it';
COMMENT ON SEQUENCE @extschema@.kafka_dead_letters_id_seq
    IS 'the numbers of dead letters';
ALTER TABLE @extschema@.kafka_dead_letters ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON @extschema@.kafka_dead_letters
    USING (pg_catalog.pg_has_role(role::pg_catalog.oid, 'USAGE'));
GRANT SELECT, DELETE ON @extschema@.kafka_dead_letters TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_outbox_0', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_outbox_1', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_outbox_2', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_outbox_id', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_relay', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_relay_progress', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_dead_letters', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_dead_letters_id_seq', '');

CREATE FUNCTION @extschema@.kafka_enqueue(
    topic pg_catalog.text,
    value pg_catalog.text,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'kafka_enqueue_text' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_enqueue(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'store a message in the transaction; a background worker relays it to Kafka, exactly once';

CREATE FUNCTION @extschema@.kafka_enqueue(
    topic pg_catalog.text,
    value pg_catalog.bytea,
    key pg_catalog.bytea DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'kafka_enqueue_bytea' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_enqueue(pg_catalog.text, pg_catalog.bytea, pg_catalog.bytea, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'store a message in the transaction; a background worker relays it to Kafka, exactly once';

CREATE FUNCTION @extschema@.kafka_enqueue(
    topic pg_catalog.text,
    value pg_catalog.json,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'kafka_enqueue_text' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_enqueue(pg_catalog.text, pg_catalog.json, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'store a message in the transaction; a background worker relays it to Kafka, exactly once';

CREATE FUNCTION @extschema@.kafka_enqueue(
    topic pg_catalog.text,
    value pg_catalog.jsonb,
    key pg_catalog.text DEFAULT NULL,
    partition pg_catalog.int4 DEFAULT NULL,
    headers pg_catalog.jsonb DEFAULT NULL,
    "timestamp" pg_catalog.timestamptz DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'kafka_enqueue_jsonb' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_enqueue(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.timestamptz, pg_catalog.name)
    IS 'store a message in the transaction; a background worker relays it to Kafka, exactly once';

CREATE FUNCTION @extschema@.kafka_relay_start(server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_relay_start(pg_catalog.name)
    IS 'have the relays of a server run, and start them';
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_relay_start(pg_catalog.name) FROM PUBLIC;

CREATE FUNCTION @extschema@.kafka_relay_stop(server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_relay_stop(pg_catalog.name)
    IS 'have the relays of a server stop, until they are started again';
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_relay_stop(pg_catalog.name) FROM PUBLIC;

CREATE FUNCTION @extschema@.kafka_adopt()
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_adopt()
    IS 'let relays and subscriptions run in this copy of a database: it then sends what waits here, and reads on';
-- Who calls it on a clone sends what the original sends too.
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_adopt() FROM PUBLIC;

----------------------------------------------------------------------
-- Publishing changes of rows
----------------------------------------------------------------------

CREATE FUNCTION @extschema@.kafka_publish()
RETURNS pg_catalog.trigger
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_publish()
    IS 'publish changes of rows to a topic; its arguments are the topic and then "name=value"';
-- It acts for the table's owner: who has no more than TRIGGER on a table is not to publish so.
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_publish() FROM PUBLIC;

CREATE FUNCTION @extschema@.kafka_publish_table(
    relation pg_catalog.regclass,
    topic pg_catalog.text,
    server pg_catalog.name DEFAULT NULL,
    key pg_catalog.text[] DEFAULT NULL,
    format pg_catalog.text DEFAULT 'debezium',
    delivery pg_catalog.text DEFAULT 'outbox',
    columns pg_catalog.text[] DEFAULT NULL,
    snapshot pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_publish_table(pg_catalog.regclass, pg_catalog.text, pg_catalog.name, pg_catalog.text[], pg_catalog.text, pg_catalog.text, pg_catalog.text[], pg_catalog.bool)
    IS 'have the changes of a table''s rows published to a topic, and, as a snapshot, the rows that are there';

CREATE FUNCTION @extschema@.kafka_unpublish_table(
    relation pg_catalog.regclass,
    topic pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_unpublish_table(pg_catalog.regclass, pg_catalog.text)
    IS 'end what kafka_publish_table began: drop the triggers that publish a table to a topic';

----------------------------------------------------------------------
-- Kafka into tables
----------------------------------------------------------------------

CREATE SEQUENCE @extschema@.kafka_subscription_id AS pg_catalog.int4;
COMMENT ON SEQUENCE @extschema@.kafka_subscription_id
    IS 'the numbers of subscriptions';

-- Only C code writes here, so nobody is granted that.
CREATE TABLE @extschema@.kafka_subscription (
    id pg_catalog.int4 NOT NULL UNIQUE,
    name pg_catalog.text PRIMARY KEY,
    owner pg_catalog.regrole NOT NULL,
    source pg_catalog.regclass NOT NULL,
    target pg_catalog.regclass,
    command pg_catalog.text,
    search_path pg_catalog.text NOT NULL,
    mode pg_catalog.text NOT NULL,
    key pg_catalog.text[],
    on_failure pg_catalog.text NOT NULL,
    on_data_loss pg_catalog.text NOT NULL,
    batch_size pg_catalog.int4 NOT NULL,
    batch_timeout pg_catalog.int4 NOT NULL,
    workers pg_catalog.int4 NOT NULL,
    "group" pg_catalog.text,
    state pg_catalog.text NOT NULL,
    system_identifier pg_catalog.int8 NOT NULL,
    databaseid pg_catalog.oid NOT NULL,
    last_error pg_catalog.text,
    last_error_shown pg_catalog.text,   -- to those who only monitor, where the error may quote messages
    last_error_at pg_catalog.timestamptz
);
COMMENT ON TABLE @extschema@.kafka_subscription
    IS 'what is taken from Kafka, where to, and as whom; see the view kafka_subscriptions';

CREATE TABLE @extschema@.kafka_subscription_offset (
    subscription pg_catalog.int4 NOT NULL,
    partition pg_catalog.int4 NOT NULL,
    next_offset pg_catalog.int8 NOT NULL,
    end_offset pg_catalog.int8 NOT NULL,
    rows pg_catalog.int8 NOT NULL DEFAULT 0,
    batches pg_catalog.int8 NOT NULL DEFAULT 0,
    last_success pg_catalog.timestamptz,
    last_offset pg_catalog.int8,
    last_timestamp pg_catalog.int8,
    last_hash pg_catalog.int8,
    unverified pg_catalog.bool NOT NULL DEFAULT false,
    PRIMARY KEY (subscription, partition)
);
COMMENT ON TABLE @extschema@.kafka_subscription_offset
    IS 'how far a subscription has come in each partition: changed in the transaction that stores the messages';

-- Each worker has a row, so that none waits for another. What a dump had of them would mean nothing.
CREATE TABLE @extschema@.kafka_subscription_worker (
    subscription pg_catalog.int4 NOT NULL,
    number pg_catalog.int4 NOT NULL,
    pid pg_catalog.int4,
    error pg_catalog.text,
    error_shown pg_catalog.text,
    error_at pg_catalog.timestamptz,
    group_error pg_catalog.text,
    group_error_at pg_catalog.timestamptz,
    PRIMARY KEY (subscription, number)
);
COMMENT ON TABLE @extschema@.kafka_subscription_worker
    IS 'the processes of the subscriptions, and what each of them tries again';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_subscription', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_subscription_offset', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.kafka_subscription_id', '');

-- The tables are nobody's to read: by the hash of a message one could guess at it, and an error of its storing may quote it.
CREATE VIEW @extschema@.kafka_subscriptions WITH (security_barrier = true) AS
    SELECT s.name, s.owner, s.source, s.target, s.command,
           CASE WHEN s.system_identifier <> c.system_identifier OR s.databaseid <> d.oid THEN 'fenced'
                WHEN s.state = 'running' AND w.error IS NOT NULL THEN 'retrying'
                WHEN s.state = 'running' AND o.unverified THEN 'unverified'
                ELSE s.state END AS state,
           s.workers, w.pids[1] AS pid, w.pids,
           o.partitions, o.offsets, o.lag, o.rows, o.batches,
           COALESCE(CASE WHEN NOT own.own THEN s.last_error_shown END, s.last_error, w.error, w.group_error) AS last_error,
           COALESCE(s.last_error_at, w.error_at, w.group_error_at) AS last_error_at,
           o.last_success, s."group"
    FROM @extschema@.kafka_subscription s
    CROSS JOIN pg_catalog.pg_control_system() c
    CROSS JOIN (SELECT oid FROM pg_catalog.pg_database
                WHERE datname = pg_catalog.current_database()) d
    CROSS JOIN LATERAL (SELECT pg_catalog.pg_has_role(s.owner::pg_catalog.oid, 'USAGE') AS own) own
    CROSS JOIN LATERAL (
        SELECT pg_catalog.count(*)::pg_catalog.int4 AS partitions,
               pg_catalog.jsonb_object_agg(p.partition, p.next_offset) AS offsets,
               pg_catalog.sum(GREATEST(p.end_offset - p.next_offset, 0))::pg_catalog.int8 AS lag,
               COALESCE(pg_catalog.sum(p.rows), 0)::pg_catalog.int8 AS rows,
               COALESCE(pg_catalog.sum(p.batches), 0)::pg_catalog.int8 AS batches,
               pg_catalog.max(p.last_success) AS last_success,
               pg_catalog.bool_or(p.unverified) AS unverified
        FROM @extschema@.kafka_subscription_offset p WHERE p.subscription = s.id) o
    CROSS JOIN LATERAL (
        SELECT pg_catalog.array_agg(a.pid ORDER BY x.number) FILTER (WHERE a.pid IS NOT NULL) AS pids,
               (pg_catalog.array_agg(COALESCE(CASE WHEN NOT own.own THEN x.error_shown END, x.error) ORDER BY x.error_at DESC)
                FILTER (WHERE x.error IS NOT NULL))[1] AS error,
               pg_catalog.max(x.error_at) AS error_at,
               (pg_catalog.array_agg(x.group_error ORDER BY x.group_error_at DESC)
                FILTER (WHERE x.group_error IS NOT NULL))[1] AS group_error,
               pg_catalog.max(x.group_error_at) AS group_error_at
        FROM @extschema@.kafka_subscription_worker x
        LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = x.pid AND a.datid = d.oid
        WHERE x.subscription = s.id) w
    WHERE own.own OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW @extschema@.kafka_subscriptions
    IS 'the subscriptions, what they are doing and how far they have come; a role sees its own; contacts nobody';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.name IS 'its name';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.owner IS 'the role as which it acts';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.source IS 'the foreign table it reads';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.target IS 'the table it fills; NULL: a command does';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.command IS 'the statement it runs for each batch; NULL: it fills a table';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.state IS 'running, retrying (see last_error), unverified, paused, stopped or fenced';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.workers IS 'how many processes it is to have';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.pid IS 'its process, or the first of several; NULL: none';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.pids IS 'all of its processes; NULL: none';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.partitions IS 'of the topic, as far as it knows';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.offsets IS 'the next offset of each partition';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.lag IS 'messages that it has not taken yet, as of its last look';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.rows IS 'rows stored so far';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.batches IS 'batches so far';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.last_error IS 'what went wrong last; of an error of the data those who only monitor see the SQLSTATE';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.last_error_at IS 'when';
COMMENT ON COLUMN @extschema@.kafka_subscriptions.last_success IS 'when a batch was stored last';
COMMENT ON COLUMN @extschema@.kafka_subscriptions."group" IS 'the consumer group to which its offsets are committed as well; NULL: none';
GRANT SELECT ON @extschema@.kafka_subscriptions TO PUBLIC;

CREATE FUNCTION @extschema@.kafka_subscribe(
    name pg_catalog.text,
    source pg_catalog.regclass,
    target pg_catalog.regclass DEFAULT NULL,
    command pg_catalog.text DEFAULT NULL,
    start_offset pg_catalog.text DEFAULT NULL,
    mode pg_catalog.text DEFAULT 'append',
    key pg_catalog.text[] DEFAULT NULL,
    on_failure pg_catalog.text DEFAULT 'stop',
    on_data_loss pg_catalog.text DEFAULT 'error',
    batch_size pg_catalog.int4 DEFAULT 10000,
    batch_timeout pg_catalog.interval DEFAULT '100ms',
    workers pg_catalog.int4 DEFAULT 1,
    "group" pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_subscribe(pg_catalog.text, pg_catalog.regclass, pg_catalog.regclass, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text[], pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.interval, pg_catalog.int4, pg_catalog.text)
    IS 'have the messages of a foreign table''s topic flow into a table, or through a command, each exactly once';

CREATE FUNCTION @extschema@.kafka_unsubscribe(name pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_unsubscribe(pg_catalog.text)
    IS 'end a subscription; what it has stored stays';

CREATE FUNCTION @extschema@.kafka_pause(name pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_pause(pg_catalog.text)
    IS 'have a subscription stop after its present batch, until it is resumed';

CREATE FUNCTION @extschema@.kafka_resume(name pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_resume(pg_catalog.text)
    IS 'have a subscription that was paused, or has stopped with an error, go on';

CREATE FUNCTION @extschema@.kafka_seek(
    name pg_catalog.text,
    start_offset pg_catalog.text,
    partition pg_catalog.int4 DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_seek(pg_catalog.text, pg_catalog.text, pg_catalog.int4)
    IS 'have a subscription go on from elsewhere, in all partitions or one; going back repeats rows';

CREATE FUNCTION @extschema@.kafka_retry_dead_letters(name pg_catalog.text)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_retry_dead_letters(pg_catalog.text)
    IS 'store the dead letters of a subscription after all; what fails again stays one. Returns how many could be stored';

CREATE PROCEDURE @extschema@.kafka_ingest(name pg_catalog.text)
AS 'MODULE_PATHNAME' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.kafka_ingest(pg_catalog.text)
    IS 'take one batch of a subscription by hand, in a transaction of its own where it can';

----------------------------------------------------------------------
-- Reading a topic that has no foreign table
----------------------------------------------------------------------

CREATE FUNCTION @extschema@.kafka_read(
    topic pg_catalog.text,
    start_offset pg_catalog.text DEFAULT 'earliest',
    end_offset pg_catalog.text DEFAULT 'snapshot',
    partition pg_catalog.int4 DEFAULT NULL,
    max_messages pg_catalog.int8 DEFAULT 1000,
    server pg_catalog.name DEFAULT NULL)
RETURNS TABLE (
    partition pg_catalog.int4,
    "offset" pg_catalog.int8,
    "timestamp" pg_catalog.timestamptz,
    key pg_catalog.text,
    value pg_catalog.text,
    headers pg_catalog.jsonb)
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1000;
COMMENT ON FUNCTION @extschema@.kafka_read(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.int8, pg_catalog.name)
    IS 'messages of a topic between two offsets, at most max_messages of them; bytes that are not text are escaped';

CREATE FUNCTION @extschema@.kafka_last(
    topic pg_catalog.text,
    n pg_catalog.int4 DEFAULT 20,
    server pg_catalog.name DEFAULT NULL)
RETURNS TABLE (
    partition pg_catalog.int4,
    "offset" pg_catalog.int8,
    "timestamp" pg_catalog.timestamptz,
    key pg_catalog.text,
    value pg_catalog.text,
    headers pg_catalog.jsonb)
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 20;
COMMENT ON FUNCTION @extschema@.kafka_last(pg_catalog.text, pg_catalog.int4, pg_catalog.name)
    IS 'the n newest messages of a topic over all its partitions, oldest first';

----------------------------------------------------------------------
-- Changing topics
----------------------------------------------------------------------

CREATE FUNCTION @extschema@.kafka_create_topic(
    topic pg_catalog.text,
    partitions pg_catalog.int4 DEFAULT NULL,
    replication_factor pg_catalog.int4 DEFAULT NULL,
    config pg_catalog.jsonb DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_create_topic(pg_catalog.text, pg_catalog.int4, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.name)
    IS 'create a topic; what is NULL is the broker''s default';

CREATE FUNCTION @extschema@.kafka_delete_topic(
    topic pg_catalog.text,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_delete_topic(pg_catalog.text, pg_catalog.name)
    IS 'delete a topic and all its messages';

CREATE FUNCTION @extschema@.kafka_add_partitions(
    topic pg_catalog.text,
    partitions pg_catalog.int4,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_add_partitions(pg_catalog.text, pg_catalog.int4, pg_catalog.name)
    IS 'give a topic more partitions: so many in all';

CREATE FUNCTION @extschema@.kafka_delete_records(
    topic pg_catalog.text,
    partition pg_catalog.int4,
    before_offset pg_catalog.int8,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_delete_records(pg_catalog.text, pg_catalog.int4, pg_catalog.int8, pg_catalog.name)
    IS 'delete the messages of a partition before an offset; returns the first offset that is left';

CREATE FUNCTION @extschema@.kafka_set_topic_config(
    topic pg_catalog.text,
    config pg_catalog.jsonb,
    server pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.kafka_set_topic_config(pg_catalog.text, pg_catalog.jsonb, pg_catalog.name)
    IS 'change settings of a topic; null resets one to its default, and what is not named stays';

-- They change the cluster for everybody: only whom the database's owner trusts with that.
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_create_topic(pg_catalog.text, pg_catalog.int4, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.name) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_delete_topic(pg_catalog.text, pg_catalog.name) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_add_partitions(pg_catalog.text, pg_catalog.int4, pg_catalog.name) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_delete_records(pg_catalog.text, pg_catalog.int4, pg_catalog.int8, pg_catalog.name) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_set_topic_config(pg_catalog.text, pg_catalog.jsonb, pg_catalog.name) FROM PUBLIC;

----------------------------------------------------------------------
-- Looking around in a cluster
----------------------------------------------------------------------

CREATE FUNCTION @extschema@.kafka_topics(
    server pg_catalog.name DEFAULT NULL)
RETURNS TABLE (
    topic pg_catalog.text,
    partitions pg_catalog.int4,
    replication_factor pg_catalog.int4,
    under_replicated pg_catalog.int4,
    offline pg_catalog.int4,
    internal pg_catalog.bool)
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION @extschema@.kafka_topics(pg_catalog.name)
    IS 'the topics of a cluster, with the numbers of partitions that lack replicas or a leader';

CREATE FUNCTION @extschema@.kafka_partitions(
    topic pg_catalog.text DEFAULT NULL,
    server pg_catalog.name DEFAULT NULL)
RETURNS TABLE (
    topic pg_catalog.text,
    partition pg_catalog.int4,
    leader pg_catalog.int4,
    replicas pg_catalog.int4[],
    isr pg_catalog.int4[],
    low pg_catalog.int8,
    high pg_catalog.int8,
    committed_end pg_catalog.int8)
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION @extschema@.kafka_partitions(pg_catalog.text, pg_catalog.name)
    IS 'the partitions of a topic, or of all: who leads and who has them, and where they begin and end';

CREATE FUNCTION @extschema@.kafka_brokers(
    server pg_catalog.name DEFAULT NULL)
RETURNS TABLE (
    id pg_catalog.int4,
    host pg_catalog.text,
    port pg_catalog.int4,
    rack pg_catalog.text,
    controller pg_catalog.bool)
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION @extschema@.kafka_brokers(pg_catalog.name)
    IS 'the brokers of a cluster that are up';

CREATE FUNCTION @extschema@.kafka_topic_config(
    topic pg_catalog.text,
    server pg_catalog.name DEFAULT NULL)
RETURNS TABLE (
    name pg_catalog.text,
    value pg_catalog.text,
    source pg_catalog.text,
    is_default pg_catalog.bool,
    read_only pg_catalog.bool,
    sensitive pg_catalog.bool)
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 40;
COMMENT ON FUNCTION @extschema@.kafka_topic_config(pg_catalog.text, pg_catalog.name)
    IS 'the settings of a topic, and where each comes from';

CREATE FUNCTION @extschema@.kafka_groups(
    server pg_catalog.name DEFAULT NULL)
RETURNS TABLE (
    "group" pg_catalog.text,
    state pg_catalog.text,
    protocol_type pg_catalog.text,
    protocol pg_catalog.text,
    members pg_catalog.int4,
    coordinator pg_catalog.int4)
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION @extschema@.kafka_groups(pg_catalog.name)
    IS 'the consumer groups of a cluster';

CREATE FUNCTION @extschema@.kafka_group_lag(
    "group" pg_catalog.text,
    server pg_catalog.name DEFAULT NULL)
RETURNS TABLE (
    "group" pg_catalog.text,
    topic pg_catalog.text,
    partition pg_catalog.int4,
    current_offset pg_catalog.int8,
    log_end_offset pg_catalog.int8,
    lag pg_catalog.int8,
    consumer_id pg_catalog.text,
    host pg_catalog.text,
    client_id pg_catalog.text)
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION @extschema@.kafka_group_lag(pg_catalog.text, pg_catalog.name)
    IS 'how far a consumer group has come in each partition, and who reads it; columns as kafka-consumer-groups has them';

----------------------------------------------------------------------
-- This session's connections
----------------------------------------------------------------------

CREATE FUNCTION @extschema@.kafka_session_connections()
RETURNS TABLE (
    server pg_catalog.name,
    role pg_catalog.name,
    kind pg_catalog.text,
    in_use pg_catalog.bool,
    valid pg_catalog.bool,
    uses pg_catalog.int8,
    connected_at pg_catalog.timestamptz,
    last_used_at pg_catalog.timestamptz,
    last_error pg_catalog.text)
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 4;
COMMENT ON FUNCTION @extschema@.kafka_session_connections()
    IS 'what the view kafka_connections shows';

CREATE VIEW @extschema@.kafka_connections AS
    SELECT * FROM @extschema@.kafka_session_connections();
COMMENT ON VIEW @extschema@.kafka_connections
    IS 'the Kafka handles that this session holds; contacts nobody';
COMMENT ON COLUMN @extschema@.kafka_connections.server
    IS 'for which server it was made';
COMMENT ON COLUMN @extschema@.kafka_connections.role
    IS 'for whose user mapping';
COMMENT ON COLUMN @extschema@.kafka_connections.kind
    IS 'consumer, bulk consumer, tail or producer';
COMMENT ON COLUMN @extschema@.kafka_connections.in_use
    IS 'a statement or an open cursor is using it';
COMMENT ON COLUMN @extschema@.kafka_connections.valid
    IS 'false: it will be closed';
COMMENT ON COLUMN @extschema@.kafka_connections.uses
    IS 'how often it was used';
COMMENT ON COLUMN @extschema@.kafka_connections.connected_at
    IS 'when it was made';
COMMENT ON COLUMN @extschema@.kafka_connections.last_used_at
    IS 'when it was last taken';
COMMENT ON COLUMN @extschema@.kafka_connections.last_error
    IS 'what a broker connection complained of last';
GRANT SELECT ON @extschema@.kafka_connections TO PUBLIC;

CREATE FUNCTION @extschema@.kafka_disconnect()
RETURNS pg_catalog.int4
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.kafka_disconnect()
    IS 'close this session''s idle connections to Kafka; returns their number';
