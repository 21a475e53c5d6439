-- Where a scan starts and ends: start_offset, end_offset and their tail.
SELECT topic('ends') AS t, topic('ends.ages') AS ages, topic('ends.empty') AS empty \gset

-- Offsets 0 to 9 in partition 0, one second apart; 0 to 4 in partition 1, two seconds apart and
-- half a second later. Retention would take messages as old as that.
SELECT kafka_create_topic(:'t', 2, config => '{"retention.ms": -1}');
SELECT count(kafka_send(:'t', i::text, partition => 0,
                        "timestamp" => '2024-05-31 12:00:00+00'::timestamptz + i * interval '1s'))
FROM generate_series(0, 9) i;
SELECT count(kafka_send(:'t', i::text, partition => 1,
                        "timestamp" => '2024-05-31 12:00:00.5+00'::timestamptz + i * interval '2s'))
FROM generate_series(0, 4) i;

-- What a table with these options shows, which is what kafka_read shows: offsets by partition.
CREATE FUNCTION shown(topic text, start_offset text, end_offset text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    options text := concat_ws(', ', format('topic %L', topic),
                              format('start_offset %L', start_offset),
                              CASE WHEN end_offset IS NOT NULL
                                   THEN format('end_offset %L', end_offset) END,
                              CASE WHEN start_offset = 'newest' THEN 'wait_timeout ''0''' END);
    query text := 'SELECT coalesce(string_agg(format(''%%s: %%s'', partition, offsets), ''; ''
                                              ORDER BY partition), ''nothing'')
        FROM (SELECT partition, string_agg("offset"::text, '' '' ORDER BY "offset") AS offsets
              FROM %s GROUP BY partition) p';
    by_table text;
    by_function text;
BEGIN
    EXECUTE format('CREATE FOREIGN TABLE ends_shown (partition int, "offset" bigint)
                    SERVER kafka OPTIONS (%s)', options);
    EXECUTE format(query, 'ends_shown') INTO by_table;
    EXECUTE format(query, format('kafka_read(%L, %L, %L)', topic, start_offset, end_offset))
        INTO by_function;
    DROP FOREIGN TABLE ends_shown;
    IF by_table <> by_function THEN
        RETURN format('table %s, function %s', by_table, by_function);
    END IF;
    RETURN by_table;
END $$;

SELECT start_offset, shown(:'t', start_offset, NULL) FROM (VALUES
    -- words
    (1, 'earliest'), (2, 'oldest'), (3, 'beginning'), (4, 'newest'),
    -- offsets
    (10, '0'), (11, '3'), (12, '5'), (13, '9'), (14, '10'), (15, '9223372036854775807'),
    -- the last N
    (20, '-1'), (21, '-3'), (22, '-5'), (23, '-7'), (24, '-1000000'), (25, '-9223372036854775807'),
    -- times: the first message that is not older
    (30, '@2024-05-31 12:00:03+00'), (31, '@2024-05-31 14:00:03.001+02'),
    (32, '@2024-05-31T12:00:08.5Z'), (33, '@2024-05-31 12:00:08.501+00'),
    (34, '@2024-05-31 12:00:09.001+00'), (35, '@1969-12-31 23:59:59+00'),
    (36, '@2999-01-01 00:00+00'),
    -- partitions
    (40, '{"0": 7, "1": "-2"}'), (41, '{"1": "newest"}'),
    (42, '{"0": "@2024-05-31 12:00:06Z", "7": 1}'), (43, '{"0": -2, "1": -4}')
) v (i, start_offset) ORDER BY i;

SELECT end_offset, shown(:'t', 'earliest', end_offset) FROM (VALUES
    (1, 'snapshot'),
    (10, '0'), (11, '3'), (12, '10'), (13, '9223372036854775807'),
    (30, '@2024-05-31 12:00:03+00'), (31, '@2024-05-31 12:00:03.001+00'),
    (32, '@1970-01-01 00:00Z'), (33, '@2999-01-01 00:00Z'),
    (40, '{"0": 2, "1": "@2024-05-31 12:00:03Z"}'), (41, '{"1": "0"}'), (42, '{"7": 1}')
) v (i, end_offset) ORDER BY i;

SELECT start_offset, end_offset, shown(:'t', start_offset, end_offset) FROM (VALUES
    (1, '3', '5'), (2, '5', '3'), (3, '3', '3'), (4, '-2', '9'), (5, '-2', '3'),
    (6, 'newest', 'snapshot'), (7, '@2024-05-31 12:00:02Z', '@2024-05-31 12:00:04Z'),
    (8, '{"0": 8, "1": 2}', '{"0": 9, "1": 4}')
) v (i, start_offset, end_offset) ORDER BY i;

-- Ages count from the statement's start.
SELECT kafka_create_topic(:'ages', 1);
SELECT count(kafka_send(:'ages', h::text, "timestamp" => now() - h * interval '1 hour'))
FROM generate_series(5, 1, -1) h;
SELECT start_offset, end_offset, shown(:'ages', start_offset, end_offset) FROM (VALUES
    (1, '@-90min', NULL), (2, '@-3.5h', NULL), (3, '@-1 day', NULL), (4, '@-1s', NULL),
    (5, '@-0s', NULL), (6, 'earliest', '@-2.5 hours'), (7, '@-4.5h', '@-1.5h'),
    (8, '@-999999 days', '@-0ms'), (9, '@-1.5h', '@-4.5h')
) v (i, start_offset, end_offset) ORDER BY i;

-- Deleted records: low is where everything starts.
SELECT kafka_delete_records(:'t', 0, 4);
SELECT start_offset, end_offset, shown(:'t', start_offset, end_offset) FROM (VALUES
    (1, 'earliest', NULL), (2, '0', NULL), (3, '2', '6'), (4, '-8', NULL), (5, 'earliest', '3'),
    (6, '@2024-05-31 12:00:01Z', NULL), (7, 'earliest', '@2024-05-31 12:00:02Z')
) v (i, start_offset, end_offset) ORDER BY i;
SELECT kafka_delete_records(:'t', 0, 10);
SELECT start_offset, end_offset, shown(:'t', start_offset, end_offset) FROM (VALUES
    (1, 'earliest', NULL), (2, '-1', NULL), (3, '4', '8'), (4, '@2024-05-31 12:00:01Z', NULL)
) v (i, start_offset, end_offset) ORDER BY i;

-- Nothing at all.
SELECT kafka_create_topic(:'empty', 3);
SELECT start_offset, end_offset, shown(:'empty', start_offset, end_offset) FROM (VALUES
    (1, 'earliest', NULL), (2, 'newest', NULL), (3, '-5', NULL), (4, '0', '0'), (5, '7', NULL),
    (6, '@2024-05-31 12:00Z', '@-1h')
) v (i, start_offset, end_offset) ORDER BY i;

-- The options meet a condition: what is read is their intersection.
CREATE FOREIGN TABLE ends_both (partition int, "offset" bigint, "timestamp" timestamptz)
    SERVER kafka OPTIONS (topic :'t', start_offset '-4');
SELECT kafka_send(:'t', 'x', partition => 0), kafka_send(:'t', 'y', partition => 0);
SELECT partition, "offset" FROM ends_both ORDER BY 1, 2;
SELECT partition, "offset" FROM ends_both WHERE "offset" >= 3 ORDER BY 1, 2;
SELECT partition, "offset" FROM ends_both WHERE partition = 1 AND "offset" < 3 ORDER BY 1, 2;
SELECT partition, "offset" FROM ends_both
WHERE "timestamp" >= '2024-05-31 12:00:04+00' AND "timestamp" < '2024-05-31 12:00:08+00';
DROP FOREIGN TABLE ends_both;

-- Very many times in a condition take a bounded number of requests, and lose nothing.
CREATE FOREIGN TABLE ends_times (partition int, "offset" bigint, "timestamp" timestamptz)
    SERVER kafka OPTIONS (topic :'t', timestamp_ordered 'true');
SELECT partition, "offset" FROM ends_times
WHERE "timestamp" IN (SELECT t FROM generate_series('2024-05-31 12:00:00.5Z'::timestamptz,
                                                    '2024-05-31 12:10:00.5Z', '1s') t)
ORDER BY 1, 2;
SELECT format('SELECT partition, "offset" FROM ends_times WHERE "timestamp" = ANY (%L)
               ORDER BY 1, 2', array_agg(t)) AS query
FROM generate_series('2024-05-31 12:00:00.5Z'::timestamptz, '2024-05-31 12:10:00.5Z', '1s') t \gset
:query;
-- An upper bound is used where the table vouches for the order of its timestamps.
SELECT kafka_create_topic(topic('ends.order'), 1, config => '{"retention.ms": -1}');
SELECT count(kafka_send(topic('ends.order'), ts,
                        "timestamp" => ('2024-05-31 12:00:' || ts || '+00')::timestamptz))
FROM unnest('{01,02,05,03,04,06,07}'::text[]) ts;
SELECT topic('ends.order') AS o \gset
CREATE FOREIGN TABLE ends_order ("offset" bigint, "timestamp" timestamptz, value text)
    SERVER kafka OPTIONS (topic :'o');
SELECT value FROM ends_order WHERE "timestamp" < '2024-05-31 12:00:05+00';
SELECT value FROM ends_order WHERE "timestamp" >= '2024-05-31 12:00:03+00';
SELECT value FROM ends_order WHERE "timestamp" BETWEEN '2024-05-31 12:00:03+00'
                                                    AND '2024-05-31 12:00:04+00';
ALTER FOREIGN TABLE ends_order OPTIONS (ADD max_timestamp_skew '2s');
SELECT value FROM ends_order WHERE "timestamp" < '2024-05-31 12:00:05+00';
-- (What it vouches for is not so: messages are lost to the reader.)
ALTER FOREIGN TABLE ends_order OPTIONS (DROP max_timestamp_skew, ADD timestamp_ordered 'true');
SELECT value FROM ends_order WHERE "timestamp" < '2024-05-31 12:00:05+00';
DROP FOREIGN TABLE ends_order, ends_times;

-- A scan larger than is allowed is refused before it fetches.
SELECT topic('ends.limit') AS l \gset
SELECT kafka_create_topic(:'l', 2);
SELECT count(kafka_send(:'l', i::text, partition => i % 2)) FROM generate_series(1, 20) i;
CREATE FOREIGN TABLE ends_limit (partition int, "offset" bigint, value text)
    SERVER kafka OPTIONS (topic :'l');
SET kafka_fdw.max_scan_messages = 19;
SELECT sqlstate, detail FROM try('SELECT count(*) FROM ends_limit');
SELECT count(*) FROM ends_limit WHERE "offset" > 0;
SELECT (try(format('SELECT count(*) FROM kafka_read(%L, max_messages => NULL)', :'l'))).*;
SELECT count(*) FROM kafka_read(:'l', max_messages => 19);
SELECT sqlstate FROM try(format('SELECT count(*) FROM kafka_read(%L, max_messages => 20)', :'l'));
SELECT count(*) FROM kafka_read(:'l', '-9', max_messages => NULL);
SELECT sqlstate FROM try(format(
    'SELECT count(*) FROM kafka_read(%L, ''-10'', max_messages => NULL)', :'l'));
SET kafka_fdw.max_scan_messages = 20;
SELECT count(*) FROM ends_limit;
RESET kafka_fdw.max_scan_messages;
DROP FOREIGN TABLE ends_limit;

-- A tail reads on as messages come: here the session sends them itself between two fetches.
CREATE FOREIGN TABLE ends_tail (partition int, "offset" bigint, value text)
    SERVER kafka OPTIONS (topic :'l', start_offset '{"0": -1, "1": "newest"}', wait_timeout '1min');
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM ends_tail;
FETCH 1 FROM c;
SELECT kafka_send(:'l', 'after', partition => 1);
FETCH 1 FROM c;
SELECT kafka_send(:'l', 'later', partition => 0);
FETCH 1 FROM c;
COMMIT;
-- Its wait runs out.
ALTER FOREIGN TABLE ends_tail OPTIONS (SET wait_timeout '20ms');
SELECT * FROM ends_tail;
-- With an end of its own it ends there without waiting.
ALTER FOREIGN TABLE ends_tail OPTIONS (SET wait_timeout '-1', SET start_offset '10',
    ADD end_offset '11');
SELECT * FROM ends_tail ORDER BY partition;
-- An end that is still to come is waited for.
ALTER FOREIGN TABLE ends_tail OPTIONS (SET start_offset '11', SET end_offset '{"0": 13, "1": 11}');
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM ends_tail;
SELECT kafka_send(:'l', 'twelfth', partition => 0);
FETCH 1 FROM c;
SELECT kafka_send(:'l', 'thirteenth', partition => 0);
SELECT kafka_send(:'l', 'too late', partition => 0);
FETCH ALL FROM c;
COMMIT;
-- So is what a condition leaves, where that begins beyond the end.
ALTER FOREIGN TABLE ends_tail OPTIONS (SET wait_timeout '1min', DROP end_offset,
    SET start_offset '{"0": -1, "1": 0}');
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM ends_tail WHERE partition = 0 OR "offset" >= 20;
FETCH 1 FROM c;
SELECT count(kafka_send(:'l', i::text, partition => 1)) FROM generate_series(11, 21) i;
FETCH 2 FROM c;
COMMIT;
-- And so is a start beyond the end: what comes before it is not shown.
ALTER FOREIGN TABLE ends_tail OPTIONS (SET start_offset '{"0": -1, "1": 25}');
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM ends_tail;
FETCH 1 FROM c;
SELECT count(kafka_send(:'l', i::text, partition => 1)) FROM generate_series(22, 26) i;
FETCH 2 FROM c;
COMMIT;
-- The same table from its newest message, where nothing comes.
ALTER FOREIGN TABLE ends_tail OPTIONS (SET start_offset 'newest', SET wait_timeout '1ms');
SELECT * FROM ends_tail;
DROP FOREIGN TABLE ends_tail;
DROP FUNCTION shown;
SELECT kafka_delete_topic(t) FROM unnest(ARRAY[:'t', :'ages', :'empty', :'o', :'l']) t;
