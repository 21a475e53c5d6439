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
