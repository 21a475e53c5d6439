-- Options: names, values, and what is made of them. (Who may set what: option_class.)
SET client_min_messages = warning;
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP

-- What becomes of a server with these options
CREATE FUNCTION server_with(options text) RETURNS TABLE (sqlstate text, message text, more text)
LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    e := try('CREATE SERVER opt FOREIGN DATA WRAPPER kafka_fdw OPTIONS (' || options || ')');
    IF e.sqlstate IS NULL THEN
        DROP SERVER opt;
    END IF;
    RETURN QUERY SELECT e.sqlstate, e.message, nullif(concat_ws(' / ', e.detail, e.hint), '');
END $$;
CREATE FUNCTION table_with(options text) RETURNS TABLE (sqlstate text, message text, more text)
LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    e := try('CREATE FOREIGN TABLE opt (value text) SERVER kafka OPTIONS (' || options || ')');
    IF e.sqlstate IS NULL THEN
        DROP FOREIGN TABLE opt;
    END IF;
    RETURN QUERY SELECT e.sqlstate, e.message, nullif(concat_ws(' / ', e.detail, e.hint), '');
END $$;

----------------------------------------------------------------------
-- Names
----------------------------------------------------------------------

SELECT x.sqlstate, x.message, x.more FROM unnest(ARRAY[
    $$client_id 'x'$$,                                          -- no brokers
    $$bootstap_servers 'h'$$,
    $$brokers 'h', sasl_password 'hush'$$,                      -- another object's
    $$brokers 'h', sasl_pasword 'hush'$$,
    $$brokers 'h', start_offset 'earliest'$$,
    $$brokers 'h', topic 'x'$$,
    $$brokers 'h', "security.protocl" 'ssl'$$,                  -- the spelling of the word
    $$brokers 'h', batch_size '1'$$,
    $$brokers 'h', acks '0'$$,                                  -- fixed
    $$brokers 'h', "enable.idempotence" 'false'$$,
    $$brokers 'h', group_id 'x'$$,                              -- never
    $$brokers 'h', "plugin.library.paths" '/tmp/evil.so'$$,
    $$brokers 'h', "topic.compression.codec" 'gzip'$$,          -- no prefix
    $$brokers 'h', "compression.Codec" 'gzip'$$,
    $$brokers 'h', "security_protocol.x" 'x'$$,
    $$brokers 'h', "ssl.ca_pem" 'x'$$,                          -- neither spelling
    $$brokers 'h', xyzzy 'x'$$,
    $$brokers 'h', bootstrap_servers 'h'$$,                     -- the same twice
    $$brokers 'h', "client.id" 'x', client_id 'y'$$,
    $$brokers 'h', linger_ms '1', "queue.buffering.max.ms" '1'$$,
    $$brokers 'h', compression_type 'gzip', compression_codec 'gzip'$$,
    $$brokers 'h', client_id 'x', client_id 'x'$$
    ]) o, server_with(o) x;
SELECT x.sqlstate, x.message, x.more FROM unnest(ARRAY[
    $$topc 'x'$$, $$bootstrap_servers 'h'$$, $$compresion_codec 'gzip'$$, $$client_id 'x'$$,
    $$sasl_username 'x'$$, $$partition 'true'$$, $$xyzzy 'x'$$, $$linger_ms '1'$$,
    $$message_timeout_ms '1s', "delivery.timeout.ms" '1s'$$]) o, table_with(o) x;
SELECT sqlstate, message, hint FROM
    try($$CREATE FOREIGN TABLE opt (v text OPTIONS (valu 'true')) SERVER kafka$$);
SELECT sqlstate, message, hint FROM
    try($$CREATE FOREIGN TABLE opt (v text OPTIONS (format 'raw')) SERVER kafka$$);
SELECT sqlstate, message, hint FROM
    try($$CREATE FOREIGN TABLE opt (v text OPTIONS (xyzzy 'raw')) SERVER kafka$$);
SELECT sqlstate, message, hint FROM
    try($$CREATE USER MAPPING FOR PUBLIC SERVER kafka OPTIONS (sasl_user 'x')$$);
SELECT sqlstate, message, hint FROM
    try($$CREATE USER MAPPING FOR PUBLIC SERVER kafka OPTIONS (xyzzy 'x')$$);
SELECT sqlstate, message, hint FROM
    try($$ALTER FOREIGN DATA WRAPPER kafka_fdw OPTIONS (ADD bootstrap_servers 'x')$$);
SELECT sqlstate, message, hint FROM
    try($$ALTER FOREIGN DATA WRAPPER kafka_fdw OPTIONS (ADD xyzzy 'x')$$);

----------------------------------------------------------------------
-- Values
----------------------------------------------------------------------

-- Lists of brokers
SELECT b, x.sqlstate FROM unnest(ARRAY['h', 'h:9092', 'h:1,i:65535', ' h:9092 , i ', '[::1]:9092',
    '[::1]', 'fe80::1', '127.0.0.1:9092', 'ssl://h:9093', 'PLAINTEXT://h']) b,
    server_with(format('brokers %L', b)) x;
SELECT b, x.sqlstate, x.message, x.more FROM unnest(ARRAY['', ' ', ',', 'h,', ',h', 'h,,i', 'h:', 'h:0', 'h:65536',
    'h:99999999999', 'h:x', 'h:9092x', ':9092', 'h i', E'h\ti', '://h', 'ssl://']) b,
    server_with(format('brokers %L', b)) x;

-- Times, sizes, numbers, words, as they come to librdkafka
SELECT o, v, x.sqlstate, x.message, x.more FROM (VALUES
    ('socket_timeout_ms', '500'), ('socket_timeout_ms', '500ms'), ('socket_timeout_ms', '0.5 min'),
    ('socket_timeout_ms', '10s'), ('socket_timeout_ms', '5min'),
    ('socket_timeout_ms', '9ms'), ('socket_timeout_ms', '301s'), ('socket_timeout_ms', '10x'),
    ('socket_timeout_ms', '10 S'), ('socket_timeout_ms', 'x'), ('socket_timeout_ms', ''),
    ('socket_timeout_ms', '-1'), ('socket_timeout_ms', '100d'),
    ('topic_metadata_refresh_interval_ms', '-1'), ('topic_metadata_refresh_interval_ms', '-2'),
    ('linger_ms', '0.5'), ('linger_ms', '1.5ms'), ('linger_ms', '500us'), ('linger_ms', '0.01s'),
    ('linger_ms', '16min'), ('linger_ms', 'inf'), ('linger_ms', 'NaN'),
    ('fetch_min_bytes', '1kB'), ('fetch_min_bytes', '100'), ('fetch_min_bytes', '0'),
    ('fetch_min_bytes', '1GB'), ('fetch_min_bytes', '3GB'), ('fetch_min_bytes', '1s'),
    ('queued_max_messages_kbytes', '16MB'), ('queued_max_messages_kbytes', '100B'),
    ('queued_min_messages', '1000'), ('queued_min_messages', '0'), ('queued_min_messages', '10abc'),
    ('queued_min_messages', '4294967297'), ('queued_min_messages', '1000MB'),
    ('socket_keepalive_enable', 'on'), ('socket_keepalive_enable', 'no'),
    ('socket_keepalive_enable', '2'), ('socket_keepalive_enable', ''),
    ('keep_connections', 'false'), ('keep_connections', 'perhaps'),
    ('compression_codec', 'zstd'), ('compression_codec', 'GZIP'), ('compression_codec', ' lz4 '),
    ('compression_codec', 'brotli'), ('compression_codec', ' '), ('compression_codec', 'gzip,lz4'),
    ('compression_level', '12'), ('compression_level', '13'), ('partitioner', 'murmur2'),
    ('partitioner', 'roundrobin'), ('isolation_level', 'read_uncommitted'),
    ('isolation_level', 'serializable'), ('security_protocol', 'SSL'),
    ('security_protocol', 'tls'), ('broker_address_family', 'v5'), ('client_id', ''),
    ('metadata_timeout', '10s'), ('metadata_timeout', '0'), ('metadata_timeout', '-1'),
    ('metadata_timeout', '2h'), ('message_timeout_ms', '0'), ('"delivery.timeout.ms"', '0ms'),
    ('message_timeout_ms', '-1'), ('message_timeout_ms', '1'), ('retries', '0'), ('retries', '5'),
    ('debug', 'broker,-topic'), ('debug', 'everything'),
    ('allowed_topics', 'a, b*,c?d'), ('allowed_topics', ''), ('allowed_topics', 'a,,b'),
    ('allowed_topics', 'a;b'), ('allowed_topics', '[ab]')) s(o, v),
    server_with(format('brokers ''h'', %s %L', o, v)) x;

-- Options that need each other
SELECT x.sqlstate, x.message, x.more FROM unnest(ARRAY[
    $$security_protocol 'sasl_ssl'$$, $$security_protocol ' SASL_PLAINTEXT'$$,
    $$security_protocol 'sasl_ssl', sasl_mechanism 'scram-sha-256'$$,
    $$security_protocol 'sasl_ssl', sasl_mechanism 'SCRAM-SHA-1'$$,
    $$fetch_max_bytes '1MB', message_max_bytes '2MB'$$, $$fetch_max_bytes '100'$$,
    $$receive_message_max_bytes '1MB'$$, $$receive_message_max_bytes '16777728'$$,
    $$receive_message_max_bytes '1000512', fetch_max_bytes '1000000'$$,
    $$reconnect_backoff_ms '2s'$$, $$reconnect_backoff_ms '2s', reconnect_backoff_max_ms '2s'$$,
    $$linger_ms '30s'$$, $$linger_ms '29999'$$, $$linger_ms '50', message_timeout_ms '50'$$
    ]) o, server_with('brokers ''h'', ' || o) x;

-- What weakens a connection says so.
CREATE SERVER weak FOREIGN DATA WRAPPER kafka_fdw OPTIONS (brokers 'h', security_protocol 'ssl',
    enable_ssl_certificate_verification 'off', ssl_endpoint_identification_algorithm ' None');
ALTER SERVER weak OPTIONS (DROP enable_ssl_certificate_verification,
    SET ssl_endpoint_identification_algorithm 'https');

-- No error repeats a credential, and none is checked by what a file holds.
SELECT o, e.sqlstate, e.message, e.detail, e.hint FROM unnest(ARRAY['sasl_username', 'sasl_password',
    'ssl_key_password', 'ssl_keystore_password', 'sasl_oauthbearer_client_id',
    'sasl_oauthbearer_client_secret']) o,
    try(format('CREATE USER MAPPING FOR PUBLIC SERVER weak OPTIONS (%s %L)', o, ' hush hush')) e;
SELECT o, e.sqlstate, e.message, e.detail, e.hint FROM unnest(ARRAY['sasl_password', 'ssl_key_pem']) o,
    try(format('ALTER SERVER weak OPTIONS (ADD %s %L)', o, 'hush hush')) e;
SELECT o, p, e.sqlstate, e.message FROM unnest(ARRAY['ssl_ca_location', 'ssl_keystore_location']) o,
    unnest(ARRAY['/etc/passwd', '/does/not/exist', '/', '']) p,
    server_with(format('brokers ''h'', %s %L', o, p)) e;
DROP SERVER weak CASCADE;

-- Tables
SELECT x.sqlstate, x.message, x.more FROM unnest(ARRAY[
    $$topic 'web_log'$$, $$topic 'Web.Log-1'$$, $$topic ''$$, $$topic '.'$$, $$topic '..'$$,
    $$topic 'a b'$$, $$topic 'a/b'$$, $$topic 'größe'$$,
    format('topic %L', repeat('x', 249)), format('topic %L', repeat('x', 250)),
    $$format 'raw'$$, $$format 'RAW'$$, $$format 'json'$$, $$format 'csv'$$, $$format 'debezium'$$, $$format 'xml'$$,
    $$delivery 'immediate'$$, $$delivery 'commit'$$, $$delivery 'outbox'$$, $$delivery 'later'$$,
    $$wait_timeout '5s'$$, $$wait_timeout '-1'$$, $$wait_timeout '-2'$$, $$wait_timeout 'forever'$$,
    $$max_wait '0'$$, $$max_wait '-1'$$, $$max_wait '-5s'$$,
    $$timestamp_ordered 'true'$$, $$timestamp_ordered ''$$,
    $$max_timestamp_skew '1min'$$, $$max_timestamp_skew '-1'$$,
    $$encoding 'LATIN1'$$, $$encoding 'utf-8'$$, $$encoding 'klingon'$$, $$encoding ''$$,
    $$invalid_text 'escape'$$, $$invalid_text 'Null'$$, $$invalid_text 'ignore'$$,
    $$updatable 'false'$$, $$updatable 'maybe'$$,
    $$insert_batch_size '1'$$, $$insert_batch_size '0'$$, $$insert_batch_size '100000'$$, $$insert_batch_size '100001'$$,
    $$insert_batch_size '1e3'$$, $$use_remote_estimate 'true'$$,
    $$isolation_level 'read_uncommitted'$$, $$"isolation.level" 'none'$$,
    $$compression_codec 'snappy', compression_level '0', partitioner 'fnv1a', "request.timeout.ms" '5s'$$,
    $$delivery_timeout_ms '5s'$$, $$message_timeout_ms '0'$$,
    $$on_error 'stop'$$, $$on_error 'SET_NULL'$$, $$on_error 'skip'$$, $$on_error 'ignore'$$, $$on_eror 'skip'$$,
    $$ignore_junk 'true'$$, $$ignore_junk 'x'$$, $$ignore_junk 'true', on_error 'stop'$$,
    $$strict 'true'$$, $$strict 'false'$$, $$format 'json', strict 'on'$$, $$strict 'x', format 'csv'$$
    ]) o, table_with(o) x;
-- csv's, which are COPY's: the words are its own, and differ between versions.
SELECT o, x.sqlstate IS NULL AS accepted, CASE WHEN x.message ~ 'single|invalid' THEN x.message END FROM unnest(ARRAY[
    $$delimiter ';', quote '''', escape '\', null 'NULL', strict 'true'$$, $$delimiter E'\t'$$,
    $$delimiter 'x', quote 'y', escape 'x'$$, $$delimiter ''$$, $$delimiter '::'$$, $$delimiter 'é'$$,
    $$delimiter E'\n'$$, $$delimiter E'\r'$$, $$delimiter '"'$$, $$quote ''$$, $$quote '""'$$, $$quote ','$$,
    $$quote E'\n'$$, $$escape ''$$, $$escape '\\'$$, $$escape E'\r'$$, $$null E'a\nb'$$, $$null 'a,b'$$,
    $$null '"'$$, $$null '', delimiter '|'$$, $$nul ''$$, $$"header" 'true'$$
    ]) o, table_with('format ''csv'', ' || o) x;
SELECT o, x.sqlstate, x.message, x.more FROM unnest(ARRAY[
    $$delimiter ';'$$, $$format 'json', quote ''''$$, $$escape '\', format 'raw'$$, $$null ''$$,
    $$format 'json', force_null 'true'$$, $$json 'a'$$]) o, table_with(o) x;
CREATE FOREIGN TABLE opt (a int) SERVER kafka OPTIONS (format 'csv', delimiter ';', strict 'true');
SELECT sqlstate, message, detail FROM try($$ALTER FOREIGN TABLE opt OPTIONS (SET format 'json')$$);
SELECT sqlstate, message, detail FROM try($$ALTER FOREIGN TABLE opt OPTIONS (DROP format, DROP delimiter)$$);
SELECT sqlstate IS NOT NULL AS refused FROM try($$ALTER FOREIGN TABLE opt OPTIONS (ADD null ';')$$);
ALTER FOREIGN TABLE opt OPTIONS (DROP format, DROP delimiter, SET strict 'false');
DROP FOREIGN TABLE opt;

----------------------------------------------------------------------
-- Columns
----------------------------------------------------------------------

CREATE DOMAIN positive AS bigint CHECK (VALUE >= 0);
CREATE FUNCTION column_of(columns text, options text DEFAULT '') RETURNS TABLE (sqlstate text, message text, more text)
LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    EXECUTE format('CREATE FOREIGN TABLE opt (%s) SERVER kafka OPTIONS (topic ''web_log'' %s)', columns, options);
    e := try('EXPLAIN SELECT * FROM opt');
    DROP FOREIGN TABLE opt;
    RETURN QUERY SELECT e.sqlstate, e.message, nullif(concat_ws(' / ', e.detail, e.hint), '');
EXCEPTION WHEN OTHERS THEN
    RETURN QUERY SELECT RETURNED.*, NULL FROM (SELECT SQLSTATE, SQLERRM) RETURNED;
END $$;
SELECT c, x.sqlstate, x.message, x.more FROM unnest(ARRAY[
    'topic text, partition int, "offset" bigint, "timestamp" timestamptz, timestamp_type text, key text, value text, headers jsonb',
    'headers kafka_header[], value bytea, partition bigint, key jsonb, topic varchar',
    'p int OPTIONS (partition ''true''), o positive OPTIONS ("offset" ''on''), v xml OPTIONS (value ''1'')',
    'value text, v bytea OPTIONS (value ''true'')',
    'key text OPTIONS (value ''true''), value text OPTIONS (key ''true'')',
    'value text OPTIONS (key ''false'')',
    '"timestamp" timestamptz(0)',
    'payload text', '"Value" text', 'value text OPTIONS (value ''false'')',
    'id int GENERATED ALWAYS AS (1) STORED, value text',
    'partition text', '"offset" numeric', '"timestamp" timestamp', '"timestamp" bigint',
    'timestamp_type int', 'topic bytea', 'headers json', 'headers text[]', 'headers kafka_header',
    'o text OPTIONS ("offset" ''true'')',
    'v text OPTIONS (key ''true'', value ''true'')', 'v text OPTIONS (key ''true'', value ''false'')',
    'v text OPTIONS (key ''x'')', 'v text OPTIONS (key '''')']) c, column_of(c) x;
SELECT c, x.sqlstate, x.message, x.more FROM unnest(ARRAY[
    'value int, j text OPTIONS (junk ''true''), e varchar OPTIONS (junk_error ''true'')', 'junk text',
    'value int, j int OPTIONS (junk ''true'')', 'value int, e bytea OPTIONS (junk_error ''true'')',
    'v text OPTIONS (json ''a'')', 'v text OPTIONS (json ''a'', json_key ''b'')', 'v text OPTIONS (json '''')',
    'v text OPTIONS (json ''a'', value ''true'')', 'v text OPTIONS (json ''a'', value ''false'')',
    'v text OPTIONS (force_null ''true'')', 'value text OPTIONS (force_null ''false'')',
    'v text OPTIONS (force_null ''true'', force_not_null ''true'', key ''true'')',
    'v text OPTIONS (jsn ''a'')', 'v text OPTIONS (force_nul ''true'')', 'v text OPTIONS (delimiter '','')'
    ]) c, column_of(c) x;
-- In json and csv names mean nothing: whatever is no part by an option is a field, of any type.
SELECT f, c, x.sqlstate, x.message, x.more FROM unnest(ARRAY[
    'topic int, partition text, "offset" numeric, "timestamp" int[], key positive, value text, headers text',
    'a int, value text OPTIONS (value ''false''), k bytea OPTIONS (key ''true''), h jsonb OPTIONS (headers ''true'')',
    'a text OPTIONS (partition ''true'')', 'a int OPTIONS (headers ''true'')',
    'a int OPTIONS (json ''a.b'')', 'a int OPTIONS (json_key ''a'')',
    'a int OPTIONS (force_null ''true'', force_not_null ''true'')', 'a int OPTIONS (force_null ''false'')']) c,
    unnest(ARRAY['json', 'csv']) f, column_of(c, format(', format %L', f)) x;
-- A column that is gone, and one that changed
CREATE FOREIGN TABLE opt (value text, payload int) SERVER kafka OPTIONS (topic 'web_log');
SELECT sqlstate, message FROM try('EXPLAIN SELECT * FROM opt');
ALTER FOREIGN TABLE opt DROP COLUMN payload;
EXPLAIN (COSTS OFF) SELECT * FROM opt;
ALTER FOREIGN TABLE opt RENAME value TO payload;
SELECT sqlstate, message FROM try('EXPLAIN SELECT * FROM opt');
ALTER FOREIGN TABLE opt ALTER payload OPTIONS (value 'true');
EXPLAIN (COSTS OFF) SELECT * FROM opt;
DROP FOREIGN TABLE opt;

----------------------------------------------------------------------
-- In use
----------------------------------------------------------------------

-- Every option of class A that does not ask for TLS or SASL, at once: librdkafka takes them all.
CREATE SERVER full_server FOREIGN DATA WRAPPER kafka_fdw OPTIONS (
    bootstrap_servers :'bootstrap', api_version_request_timeout_ms '5s', batch_num_messages '100',
    "batch.size" '100kB', broker_address_family 'any', broker_address_ttl '5s', client_id 'every',
    client_rack 'r1', compression_codec 'gzip', compression_level '3', connections_max_idle_ms '5min',
    fetch_error_backoff_ms '20', fetch_max_bytes '4MB', fetch_message_max_bytes '128kB',
    fetch_min_bytes '1', fetch_wait_max_ms '5', isolation_level 'read_committed', linger_ms '0.5ms',
    message_max_bytes '1MB', message_timeout_ms '20s', metadata_max_age_ms '15min',
    partitioner 'murmur2', queue_buffering_max_kbytes '8MB', queue_buffering_max_messages '1000',
    queued_max_messages_kbytes '4MB', queued_min_messages '500', receive_message_max_bytes '8MB',
    reconnect_backoff_ms '20ms', reconnect_backoff_max_ms '200ms', request_timeout_ms '5s', retries '7',
    retry_backoff_ms '50ms', security_protocol 'plaintext',
    socket_connection_setup_timeout_ms '5s', socket_keepalive_enable 'on', socket_max_fails '1',
    socket_nagle_disable 'yes', socket_receive_buffer_bytes '64kB', socket_send_buffer_bytes '64kB',
    socket_timeout_ms '10s', sticky_partitioning_linger_ms '10', topic_metadata_propagation_max_ms '5s',
    topic_metadata_refresh_fast_interval_ms '100', topic_metadata_refresh_interval_ms '-1',
    allow_auto_create_topics 'off', metadata_timeout '20s', keep_connections 'false',
    allowed_topics 'option.*');
CREATE USER MAPPING FOR PUBLIC SERVER full_server OPTIONS (sasl_username 'nobody', sasl_password 'ünused');
SELECT topic('option') AS t \gset
SELECT kafka_create_topic(:'t', 3, server => 'full_server');
CREATE FOREIGN TABLE full_table (partition int, "offset" bigint, key text, value text)
    SERVER full_server OPTIONS (topic :'t', compression_codec 'zstd', compression_level '5',
        partitioner 'consistent', message_timeout_ms '10s', isolation_level 'read_uncommitted',
        insert_batch_size '7', max_timestamp_skew '1min', encoding 'UTF8', updatable 'true');
INSERT INTO full_table (key, value) SELECT 'k', g FROM generate_series(1, 20) g;
SELECT count(*), count(DISTINCT partition), sum(value::int) FROM full_table;
-- keep_connections is off: nothing of it is left
SELECT count(*) FROM kafka_connections WHERE server = 'full_server';

-- An option that changes is in force with the next execution, a plan or no plan.
PREPARE two AS SELECT count(*) FROM full_table;
SET plan_cache_mode = force_generic_plan;
EXECUTE two;
ALTER FOREIGN TABLE full_table OPTIONS (ADD start_offset '-5');
EXECUTE two;
ALTER FOREIGN TABLE full_table OPTIONS (SET start_offset 'newest', ADD wait_timeout '0');
EXECUTE two;
RESET plan_cache_mode;
DEALLOCATE two;

-- allowed_topics
SELECT sqlstate, message FROM try($$SELECT kafka_send('other', 'x', server => 'full_server')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_read('options', server => 'full_server')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_create_topic('opt', server => 'full_server')$$);
CREATE FOREIGN TABLE other (value text) SERVER full_server;
SELECT sqlstate, message FROM try('SELECT * FROM other');
SELECT sqlstate, message FROM try($$INSERT INTO other VALUES ('x')$$);
DROP FOREIGN TABLE other;
SELECT sqlstate, message, detail FROM try($$SELECT kafka_send('a b', 'x', server => 'full_server')$$);
SELECT sqlstate, message, detail FROM try($$SELECT kafka_send('', 'x', server => 'full_server')$$);
CREATE FUNCTION allows(patterns text, topic text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    EXECUTE format('CREATE SERVER opt FOREIGN DATA WRAPPER kafka_fdw
                    OPTIONS (brokers ''127.0.0.1:1'', metadata_timeout ''1ms'', allowed_topics %L)', patterns);
    e := try(format('SELECT kafka_read(%L, server => %L)', topic, 'opt'));
    DROP SERVER opt;
    RETURN e.sqlstate <> '42501';
END $$;
SELECT p, t, allows(p, t) FROM (VALUES ('a', 'a'), ('a', 'ab'), ('a', 'A'), ('a*', 'a'), ('a*', 'ab'),
    ('*', 'x'), ('*a', 'ba'), ('*a', 'bab'), ('a*b*c', 'abc'), ('a*b*c', 'axxbyybc'),
    ('a*b*c', 'acb'), ('a?c', 'abc'), ('a?c', 'ac'), ('?', 'ab'), ('*?', 'a'), ('x , a.b', 'a.b'),
    ('a.b', 'axb'), ('**', 'a'), ('*aab', 'aaab')) v(p, t);

----------------------------------------------------------------------
-- The server that a function uses
----------------------------------------------------------------------

CREATE ROLE regress_kafka_user;
CREATE FOREIGN DATA WRAPPER other_wrapper;
CREATE SERVER other_server FOREIGN DATA WRAPPER other_wrapper;
GRANT USAGE ON FOREIGN SERVER other_server TO regress_kafka_user;
GRANT SELECT ON test_run TO regress_kafka_user;
SET ROLE regress_kafka_user;
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_read('x')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_read('x', server => 'kafka')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_read('x', server => 'nowhere')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_read('x', server => 'other_server')$$);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER full_server TO regress_kafka_user;
SET ROLE regress_kafka_user;
SELECT count(*) FROM kafka_read(:'t');
SET kafka_fdw.default_server = 'kafka';
SELECT sqlstate, message FROM try($$SELECT kafka_read('x')$$);
SET kafka_fdw.default_server = 'nowhere';
SELECT sqlstate, message FROM try($$SELECT kafka_read('x')$$);
-- The nearest of those that the role may use
SET kafka_fdw.default_server = 'full_sever';
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_read('x')$$);
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_read('x', server => 'kafak')$$);
SET kafka_fdw.default_server = 'other_server';
SELECT sqlstate, message FROM try($$SELECT kafka_read('x')$$);
SET kafka_fdw.default_server = '';
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER kafka TO PUBLIC;
SET ROLE regress_kafka_user;
SELECT sqlstate, message, detail, hint FROM try($$SELECT kafka_read('x')$$);
SET kafka_fdw.default_server = 'full_server';
SELECT count(*) FROM kafka_read(:'t');
RESET kafka_fdw.default_server;
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER kafka FROM PUBLIC;
DROP OWNED BY regress_kafka_user;
DROP ROLE regress_kafka_user;

-- A wrapper of ours without a validator: what could not have been set is not used.
CREATE FOREIGN DATA WRAPPER lax HANDLER kafka_fdw_handler;
CREATE SERVER lax_server FOREIGN DATA WRAPPER lax OPTIONS (brokers 'h', "plugin.library.paths" '/tmp/evil.so');
SELECT sqlstate, message, hint FROM try($$SELECT kafka_read('x', server => 'lax_server')$$);
ALTER SERVER lax_server OPTIONS (DROP "plugin.library.paths", ADD sasl_password 'hush');
SELECT sqlstate, message, hint FROM try($$SELECT kafka_read('x', server => 'lax_server')$$);
ALTER SERVER lax_server OPTIONS (DROP sasl_password);
CREATE USER MAPPING FOR PUBLIC SERVER lax_server OPTIONS (brokers 'elsewhere');
SELECT sqlstate, message, hint FROM try($$SELECT kafka_read('x', server => 'lax_server')$$);
-- (a mapping of one's own is taken in place of the public one)
ALTER SERVER lax_server OPTIONS (SET brokers '127.0.0.1:1', ADD metadata_timeout '1ms');
CREATE USER MAPPING FOR CURRENT_USER SERVER lax_server OPTIONS (sasl_username 'me');
SELECT sqlstate FROM try($$SELECT kafka_read('x', server => 'lax_server')$$);
DROP USER MAPPING FOR CURRENT_USER SERVER lax_server;
CREATE FOREIGN TABLE lax_table (value text) SERVER lax_server OPTIONS (client_id 'x');
DROP USER MAPPING FOR PUBLIC SERVER lax_server;
SELECT sqlstate, message, hint FROM try('SELECT * FROM lax_table');
ALTER FOREIGN TABLE lax_table OPTIONS (DROP client_id);
ALTER FOREIGN TABLE lax_table ALTER value OPTIONS (xyzzy 'true');
SELECT sqlstate, message, hint FROM try('SELECT * FROM lax_table');

DROP FOREIGN DATA WRAPPER lax CASCADE;
DROP FOREIGN DATA WRAPPER other_wrapper CASCADE;
DROP SERVER full_server CASCADE;
DROP DOMAIN positive;
DROP FUNCTION server_with, table_with, column_of, allows;
