/* kafka_fdw--0.0.3--1.0.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION kafka_fdw UPDATE TO '1.0'" to load this file. \quit

-- 0.0.3 is the last version of adjust/kafka_fdw. What its users have made stays as it is: servers,
-- user mappings and foreign tables hang on the wrapper, which stays; so do its functions, since other
-- things may depend on them. They get the properties that they have in 1.0.

ALTER FUNCTION @extschema@.kafka_fdw_handler() PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.kafka_fdw_handler()
    IS 'foreign data wrapper handler of kafka_fdw';

ALTER FUNCTION @extschema@.kafka_fdw_validator(pg_catalog.text[], pg_catalog.oid) PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.kafka_fdw_validator(pg_catalog.text[], pg_catalog.oid)
    IS 'checks the options of kafka_fdw''s servers, user mappings, foreign tables and columns';

COMMENT ON FOREIGN DATA WRAPPER kafka_fdw
    IS 'Apache Kafka topics as foreign tables';

ALTER FUNCTION @extschema@.kafka_get_watermarks(pg_catalog.regclass) PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION @extschema@.kafka_get_watermarks(pg_catalog.regclass)
    IS 'the first offset and the high watermark of each partition of a foreign table''s topic';

-- It may hold a user's data, so it is left where it is, as a table like any other.
ALTER EXTENSION kafka_fdw DROP TABLE @extschema@.kafka_fdw_offset_dump;


CREATE TYPE @extschema@.kafka_header AS (
    name pg_catalog.text,
    value pg_catalog.bytea
);
COMMENT ON TYPE @extschema@.kafka_header
    IS 'one header of a Kafka message; kafka_header[] is the lossless form of a message''s headers';

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
-- Topics
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

-- They change the cluster for everybody: only whom the database's owner trusts with that.
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_create_topic(pg_catalog.text, pg_catalog.int4, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.name) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_delete_topic(pg_catalog.text, pg_catalog.name) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_add_partitions(pg_catalog.text, pg_catalog.int4, pg_catalog.name) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION @extschema@.kafka_delete_records(pg_catalog.text, pg_catalog.int4, pg_catalog.int8, pg_catalog.name) FROM PUBLIC;

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
GRANT SELECT ON @extschema@.kafka_connections TO PUBLIC;

CREATE FUNCTION @extschema@.kafka_disconnect()
RETURNS pg_catalog.int4
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.kafka_disconnect()
    IS 'close this session''s idle connections to Kafka; returns their number';
