-- kafka_get_watermarks, and options of tables that the users of adjust/kafka_fdw know. What tables of
-- theirs return is adjust.sql's; the update of the extension is tested by t/045_update.pl.
SELECT topic('watermark') AS t, topic('nobody') AS nobody \gset
SELECT kafka_create_topic(:'t', 3);

----------------------------------------------------------------------
-- Options
----------------------------------------------------------------------

CREATE FUNCTION table_with(options text) RETURNS TABLE (sqlstate text, message text, detail text)
LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    e := try('CREATE FOREIGN TABLE with_options (value text) SERVER kafka OPTIONS (' || options || ')');
    DROP FOREIGN TABLE IF EXISTS with_options;
    RETURN QUERY SELECT e.sqlstate, e.message, coalesce(e.detail, e.hint);
END $$;
SET client_min_messages = warning;
SELECT o, x.* FROM unnest(ARRAY[
    $$batch_size '30', buffer_delay '100', num_partitions '4'$$,
    $$batch_size '0'$$, $$batch_size '-1'$$, $$batch_size 'many'$$,
    $$buffer_delay '0'$$, $$buffer_delay '-100'$$, $$buffer_delay '1s'$$, $$buffer_delay 'long'$$,
    $$num_partitions '0'$$, $$num_partitions '1'$$, $$num_partitions 'some'$$
    ]) o, table_with(o) x;
RESET client_min_messages;
DROP FUNCTION table_with;

CREATE FOREIGN TABLE marks (
    part int OPTIONS (partition 'true'), offs bigint OPTIONS (offset 'true'), value text)
    SERVER kafka OPTIONS (topic :'t', batch_size '1', buffer_delay '1', num_partitions '3');
INSERT INTO marks (part, value) SELECT g % 3, 'm' || g FROM generate_series(1, 300) g;
-- A scan is whole however small its batches, and however short their delay.
SELECT count(*), count(DISTINCT value) FROM marks;

----------------------------------------------------------------------
-- kafka_get_watermarks
----------------------------------------------------------------------

SELECT * FROM kafka_get_watermarks('marks');
SELECT * FROM kafka_get_watermarks(NULL);
-- The table's own bounds are no matter, the log's first offset is.
SELECT kafka_delete_records(:'t', 1, 40);
ALTER FOREIGN TABLE marks OPTIONS (ADD start_offset '90', ADD end_offset '95');
SELECT partition, offset_low, offset_high FROM kafka_get_watermarks('marks') ORDER BY partition;
SELECT part, min(offs), max(offs) FROM marks GROUP BY part ORDER BY part;
ALTER FOREIGN TABLE marks OPTIONS (DROP start_offset, DROP end_offset);

-- Other relations, and topics that are not there.
CREATE TABLE heap (a int);
CREATE FOREIGN DATA WRAPPER another;
CREATE SERVER another FOREIGN DATA WRAPPER another;
CREATE FOREIGN TABLE other (a int) SERVER another;
CREATE FOREIGN TABLE nobody (value text) SERVER kafka OPTIONS (topic :'nobody');
SELECT sqlstate, message FROM try($$SELECT kafka_get_watermarks('heap')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_get_watermarks('other')$$);
SELECT sqlstate, message FROM try($$SELECT kafka_get_watermarks(1::regclass)$$);
SELECT sqlstate, message FROM try($$SELECT kafka_get_watermarks('nobody')$$);

-- It needs what reading the table needs: SELECT on it, or on a column of it, and no more.
CREATE ROLE regress_kafka_marks;
SET ROLE regress_kafka_marks;
SELECT kafka_get_watermarks('marks');
SELECT kafka_get_watermarks('heap');
RESET ROLE;
GRANT SELECT (offs) ON marks TO regress_kafka_marks;
SET ROLE regress_kafka_marks;
SELECT count(*) FROM kafka_get_watermarks('marks');
RESET ROLE;
REVOKE SELECT (offs) ON marks FROM regress_kafka_marks;
GRANT INSERT ON marks TO regress_kafka_marks;
SET ROLE regress_kafka_marks;
SELECT kafka_get_watermarks('marks');
RESET ROLE;
GRANT SELECT ON marks TO regress_kafka_marks;
SET ROLE regress_kafka_marks;
SELECT count(*) FROM kafka_get_watermarks('marks');
RESET ROLE;
-- allowed_topics holds for it, too.
CREATE SERVER narrow FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers '127.0.0.1:1', allowed_topics 'other.*');
CREATE FOREIGN TABLE left_out (value text) SERVER narrow OPTIONS (topic 'marks');
SELECT sqlstate, message FROM try($$SELECT kafka_get_watermarks('left_out')$$);

DROP FOREIGN TABLE marks, nobody, left_out;
DROP TABLE heap;
DROP SERVER narrow;
DROP FOREIGN TABLE other;
DROP SERVER another;
DROP FOREIGN DATA WRAPPER another;
DROP ROLE regress_kafka_marks;
SELECT kafka_delete_topic(:'t');
