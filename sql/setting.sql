-- Settings. They are there when the library is.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
LOAD 'kafka_fdw';
SELECT name, setting, unit, context, vartype, boot_val, min_val, max_val, enumvals
    FROM pg_settings WHERE name LIKE 'kafka\_fdw.%' ORDER BY name;
SET kafka_fdw.max_scan_message = 1;     -- misspelt
SET kafka_fdw.max_scan_messages = -1;
SET kafka_fdw.max_scan_messages = 5000000000;
SHOW kafka_fdw.max_scan_messages;
RESET kafka_fdw.max_scan_messages;

-- Who may set them; the mode is the whole server's (t/010_mode.pl).
CREATE ROLE regress_kafka_setting;
SET ROLE regress_kafka_setting;
SET kafka_fdw.max_timeout = '2h';
SET kafka_fdw.max_buffer_size = '2GB';
SET kafka_fdw.default_server = 'kafka';
RESET kafka_fdw.default_server;
SET kafka_fdw.mode = 'off';
RESET ROLE;
SET kafka_fdw.mode = 'read_only';
DROP ROLE regress_kafka_setting;

-- Nothing is sent in a read-only transaction; reading goes on.
SELECT topic('setting') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE setting_table (value text) SERVER kafka OPTIONS (topic :'t');
INSERT INTO setting_table VALUES ('one');
BEGIN READ ONLY;
SELECT * FROM setting_table;
SELECT sqlstate, message FROM try($$INSERT INTO setting_table VALUES ('two')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_send('setting', 'two')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_produce('setting', 'two')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_create_topic('setting')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_delete_topic('setting')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_add_partitions('setting', 9)$$);
SELECT sqlstate, message FROM try($$SELECT kafka_delete_records('setting', 0, 1)$$);
COMMIT;
SELECT * FROM setting_table;

-- Scans that are too large are refused before they fetch.
INSERT INTO setting_table SELECT 'more' FROM generate_series(1, 9);
SET kafka_fdw.max_scan_messages = 10;
SELECT count(*) FROM setting_table;
SET kafka_fdw.max_scan_messages = 9;
SELECT sqlstate, message FROM try('SELECT count(*) FROM setting_table');
RESET kafka_fdw.max_scan_messages;

-- What caps the options of servers and tables: more is refused, and where it is set already, cut.
CREATE SERVER capped FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (brokers 'localhost', metadata_timeout '2min', message_timeout_ms '2min',
             message_max_bytes '20MB', fetch_max_bytes '20MB', receive_message_max_bytes '32MB');
SET kafka_fdw.max_timeout = '1min';
SELECT sqlstate FROM try($$SET kafka_fdw.max_buffer_size = '1MB'$$);   -- librdkafka itself needs more
SET kafka_fdw.max_buffer_size = '16MB';
SELECT o, v, e.sqlstate, e.message, e.detail FROM (VALUES
    ('metadata_timeout', '61s'), ('message_timeout_ms', '60001'), ('socket_timeout_ms', '2min'),
    ('request_timeout_ms', '2min'), ('linger_ms', '60001.5'), ('fetch_message_max_bytes', '16777217'),
    ('queued_max_messages_kbytes', '16385'), ('queue_buffering_max_kbytes', '1GB'),
    ('"batch.size"', '17MB'),
    ('receive_message_max_bytes', '16777729')) x(o, v),
    LATERAL try(format('CREATE SERVER x FOREIGN DATA WRAPPER kafka_fdw
                        OPTIONS (brokers ''localhost'', %s %L)', o, v)) e;
SELECT o, v, e.message FROM (VALUES
    ('metadata_timeout', '60s'), ('message_timeout_ms', '1min'), ('linger_ms', '1.5'),
    ('fetch_message_max_bytes', '16MB'), ('queued_max_messages_kbytes', '16384'),
    ('receive_message_max_bytes', '16777728'),
    ('metadata_max_age_ms', '1h')) x(o, v),
    LATERAL try(format('CREATE SERVER capped_%s FOREIGN DATA WRAPPER kafka_fdw
                        OPTIONS (brokers ''localhost'', %1$s %L)', o, v)) e;
ALTER SERVER capped OPTIONS (ADD client_id 'x');
-- Who waits for a broker that is not there gives up after the time that the setting leaves.
CREATE SERVER cut FOREIGN DATA WRAPPER kafka_fdw OPTIONS (brokers '127.0.0.1:1', metadata_timeout '1min');
SET kafka_fdw.max_timeout = '1s';
SET statement_timeout = '30s';
SELECT sqlstate FROM try($$SELECT kafka_last('x', server => 'cut')$$);
RESET statement_timeout;
-- What was cut still goes together.
SET kafka_fdw.max_timeout = '2h';
SET kafka_fdw.max_buffer_size = '1GB';
CREATE SERVER together FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (brokers :'bootstrap', linger_ms '14min', message_timeout_ms '15min',
             message_max_bytes '100MB', fetch_max_bytes '200MB', receive_message_max_bytes '300MB',
             queued_max_messages_kbytes '500MB');
SET kafka_fdw.max_timeout = '1min';
SET kafka_fdw.max_buffer_size = '16MB';
SELECT count(*) FROM kafka_read(:'t', server => 'together');
-- A linger of 999 ms leaves a message of 1 s little time: it may be sent or not, but a producer is made.
SET kafka_fdw.max_timeout = '1s';
SELECT coalesce(sqlstate LIKE '08%', true) AS made
FROM try(format('SELECT kafka_send(%L, ''cut'', server => ''together'')', :'t'));
RESET kafka_fdw.max_timeout;
RESET kafka_fdw.max_buffer_size;
DROP SERVER together;


DROP FOREIGN TABLE setting_table;
DROP SERVER capped, capped_metadata_timeout, capped_message_timeout_ms, capped_linger_ms,
    capped_fetch_message_max_bytes, capped_queued_max_messages_kbytes,
    capped_receive_message_max_bytes, capped_metadata_max_age_ms, cut;
