-- Narrow reads: a condition that names a few offsets of a partition is read at once, without a look
-- at what the topic holds, if an earlier statement of the session has seen the topic. What shows is
-- the same as ever.
SELECT topic('narrow') AS t, topic('narrow.gone') AS gone \gset
SELECT kafka_create_topic(:'t', 2);
SELECT count(kafka_send(:'t', 'p' || i % 2 || '-' || i / 2, partition => i % 2))
FROM generate_series(0, 19) i;
CREATE FOREIGN TABLE narrow (partition int, "offset" bigint, value text)
    SERVER kafka OPTIONS (topic :'t');
-- The offsets that a condition shows, by partition.
CREATE FUNCTION narrow_read(condition text, OUT offsets text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'SELECT coalesce(string_agg(partition || '':'' || "offset", '' '' ORDER BY partition, "offset"),
                             ''nothing'')
             FROM narrow WHERE (' || condition || ') AND value = format(''p%s-%s'', partition, "offset")'
        INTO offsets;
END $$;
SELECT count(*) FROM narrow;

SELECT i, narrow_read(condition) FROM (VALUES
    (1, 'partition = 0 AND "offset" = 3'),
    (2, 'partition = 0 AND "offset" BETWEEN 3 AND 5'),
    (3, 'partition = 1 AND "offset" >= 7 AND "offset" < 10'),
    (4, 'partition = 1 AND "offset" < 3'),
    (5, 'partition IN (0, 1) AND "offset" BETWEEN 4 AND 5'),
    (6, 'partition = 0 AND "offset" IN (1, 3, 8)'),
    (7, '(partition, "offset") IN ((0, 2), (1, 6))'),
    -- past the end, in part and altogether
    (10, 'partition = 0 AND "offset" BETWEEN 8 AND 12'),
    (11, 'partition = 0 AND "offset" = 10'),
    (12, 'partition = 0 AND "offset" BETWEEN 100 AND 110'),
    (13, 'partition IN (0, 1) AND "offset" BETWEEN 9 AND 10'),
    -- none that there is
    (20, 'partition = 2 AND "offset" = 3'),
    (21, 'partition = -1 AND "offset" = 3'),
    (22, 'partition = 0 AND "offset" BETWEEN 5 AND 3'),
    (23, 'partition = 0 AND "offset" < 0'),
    (24, 'partition IN (1, 2) AND "offset" = 3')
) v (i, condition) ORDER BY i;

-- With options that narrow further.
ALTER FOREIGN TABLE narrow OPTIONS (ADD start_offset '4', ADD end_offset '{"0": 8}');
SELECT narrow_read('partition = 0 AND "offset" BETWEEN 2 AND 20');
SELECT narrow_read('partition = 1 AND "offset" BETWEEN 2 AND 20');
SELECT narrow_read('partition = 1 AND "offset" BETWEEN 2 AND 6');
ALTER FOREIGN TABLE narrow OPTIONS (DROP start_offset, DROP end_offset);

-- The end is where it was as the scan began, though the condition allows for more.
BEGIN;
DECLARE c CURSOR FOR SELECT "offset" FROM narrow WHERE partition = 0 AND "offset" BETWEEN 8 AND 15;
FETCH 1 FROM c;
SELECT kafka_send(:'t', 'p0-10', partition => 0);
FETCH ALL FROM c;
CLOSE c;
-- So it is where all was there: nothing is read twice, and nothing of what a statement itself sends.
DECLARE c CURSOR FOR SELECT "offset" FROM narrow WHERE partition = 0 AND "offset" BETWEEN 9 AND 10;
FETCH 1 FROM c;
SELECT kafka_send(:'t', 'p0-11', partition => 0);
FETCH ALL FROM c;
COMMIT;
INSERT INTO narrow (partition, value)
    SELECT partition, 'p0-' || "offset" + 2 FROM narrow WHERE partition = 0 AND "offset" BETWEEN 10 AND 20;
SELECT narrow_read('partition = 0 AND "offset" BETWEEN 9 AND 30');
-- Two scans of a statement agree.
SELECT count(*), count(b.value) FROM narrow a LEFT JOIN narrow b
    ON b.partition = 0 AND b."offset" BETWEEN 12 AND 20 AND b."offset" = a."offset"
    WHERE a.partition = 0 AND a."offset" BETWEEN 12 AND 20;

-- Messages that were deleted before are nothing to warn of.
SELECT kafka_delete_records(:'t', 0, 5) IS NOT NULL;
SELECT narrow_read('partition = 0 AND "offset" BETWEEN 3 AND 6');
SELECT narrow_read('partition = 0 AND "offset" BETWEEN 0 AND 3');
SELECT narrow_read('partition = 0 AND "offset" BETWEEN 5 AND 6');

-- A partition that was added since, and a topic that is gone.
SELECT kafka_add_partitions(:'t', 3);
SELECT kafka_send(:'t', 'p2-0', partition => 2);
SELECT narrow_read('partition = 2 AND "offset" = 0');
SELECT narrow_read('partition = 2 AND "offset" = 0');
SELECT kafka_delete_topic(:'t');
SELECT sqlstate, message FROM try($$SELECT narrow_read('partition = 0 AND "offset" = 6')$$);

-- How much may be read is told by the condition.
SELECT kafka_create_topic(:'gone', 1);
SELECT count(kafka_send(:'gone', i::text)) FROM generate_series(0, 9) i;
CREATE FOREIGN TABLE narrow_limited (partition int, "offset" bigint) SERVER kafka OPTIONS (topic :'gone');
SELECT count(*) FROM narrow_limited WHERE partition = 0 AND "offset" BETWEEN 1 AND 5;
SET kafka_fdw.max_scan_messages = 4;
SELECT count(*) FROM narrow_limited WHERE partition = 0 AND "offset" BETWEEN 1 AND 4;
SELECT sqlstate, message FROM try('SELECT count(*) FROM narrow_limited WHERE partition = 0 AND "offset" BETWEEN 1 AND 5');
SELECT count(*) FROM narrow_limited WHERE partition = 0 AND "offset" BETWEEN 6 AND 100;
