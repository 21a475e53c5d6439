-- What start_offset and end_offset can be, as EXPLAIN shows it; it contacts nobody.
CREATE SERVER no_broker FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '127.0.0.1:1');
CREATE FUNCTION ranges_of(start_offset text, end_offset text DEFAULT NULL,
                          wait_timeout text DEFAULT '0') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
    detail text;
BEGIN
    EXECUTE format('CREATE FOREIGN TABLE offset_table (value text) SERVER no_broker
                    OPTIONS (wait_timeout %L %s %s)', wait_timeout,
                   ', start_offset ' || quote_literal(start_offset),
                   ', end_offset ' || quote_literal(end_offset));
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT * FROM offset_table' INTO plan;
    DROP FOREIGN TABLE offset_table;
    RETURN jsonb_path_query_first(plan, 'strict $.**."Kafka Ranges"') #>> '{}';
EXCEPTION WHEN fdw_invalid_attribute_value THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN coalesce(nullif(detail, ''), 'invalid');
END $$;
SET TimeZone = 'UTC';

-- Words and numbers
SELECT v, ranges_of(v) FROM unnest(ARRAY['earliest', 'oldest', 'beginning', 'newest', 'latest',
    'end', 'Earliest', '0', '42', '0042', '9223372036854775807', '-1', '-100']) v;
SELECT v, ranges_of(v) FROM unnest(ARRAY['', ' ', 'earlist', 'snapshot', 'earliest ', '-0', '-',
    '+1', '1.5', '1e3', '0x10', '--1', '- 1', '9223372036854775808', '-9223372036854775809',
    '1 ', E'1\n', 'NaN', 'null']) v;
SELECT v, ranges_of(NULL, v) FROM unnest(ARRAY['snapshot', 'SNAPSHOT', '0', '42']) v;
SELECT v, ranges_of(NULL, v) FROM unnest(ARRAY['', 'newest', 'latest', 'end', 'earliest', '-1']) v;

-- Times: rounded up to a millisecond, since the message at that time or after it is meant
SELECT v, ranges_of(v, v) FROM unnest(ARRAY['@2024-05-31 12:00:00+02', '@2024-05-31T10:00:00Z',
    '@2024-05-31 12:00 Europe/Berlin', '@2024-12-31 12:00 Europe/Berlin',
    '@2024-05-31 12:00:00.0001 UTC', '@2024-05-31 12:00:00.999 UTC', '@20240531T100000Z',
    '@2024-05-31 00:00 PST', '@1960-01-01 00:00Z', '@4713-01-01 00:00Z BC',
    '@294276-12-31 00:00Z']) v;
SELECT left(v, 40) AS v, ranges_of(v) FROM unnest(ARRAY['@', '@x', '@now', '@today', '@yesterday', '@infinity',
    '@-infinity', '@epoch', '@2024-05-31', '@2024-05-31 12:00', '@2024-05-31T12:00:00.5',
    '@2024-13-01 00:00Z', '@2024-02-30 00:00Z', '@12:00Z', '@12:00+02', '@31/05/2024 00:00Z',
    '@294277-12-31 00:00Z', '@2024-05-31 25:00Z', '@2024-05-31 12:00 Nowhere/Atall',
    '@1717149600', '@2024-05-31 12:00Z; DROP TABLE x', repeat('@9', 1000)]) v;

-- Ages
SELECT v, ranges_of(v, v) FROM unnest(ARRAY['@-1h', '@-1 hour', '@-90 min', '@-90s', '@-250ms',
    '@-1.5h', '@-1h 30min', '@-7 days', '@-1d', '@-1 week', '@-1:30', '@-0s',
    '@-100000000 days']) v;
SELECT v, ranges_of(v) FROM unnest(ARRAY['@-', '@- ', '@-5', '@-5.5', '@--1h', '@-+1h', '@-1h -5min',
    '@+1h', '@1h', '@-1h ago', '@-1 month', '@-1 year', '@-P1M', '@-PT5M', '@-1 fortnight', '@-infinity',
    '@-200000000 days', '@-99999999999999999999h']) v;

-- For each partition: what is not named starts at the earliest and ends at the snapshot
SELECT v, ranges_of(v) FROM unnest(ARRAY['{"0":100,"1":"newest"}', '{"0": -5}',
    E' {\n"3" : "@-1h",\t"1":"7" ,"2":"earliest"} ', '{"2147483647":0}',
    '{"0":"@2024-05-31 12:00+02"}',
    '{"9":1,"8":1,"7":1,"6":1,"5":1,"4":1,"3":1,"2":1,"1":1,"0":1}']) v;
SELECT v, ranges_of(NULL, v) FROM unnest(ARRAY['{"0":100,"1":"snapshot"}', '{"1":"@-1h"}']) v;
SELECT v, ranges_of(v) FROM unnest(ARRAY['{}', '{', '{"0":', '{"0":1', '{"0":1,}', '{"0":1}}',
    '{"0":1} x', '[1]', '{0:1}', '{"x":1}', '{"-1":1}', '{"00":1}', '{"0":1,"0":2}', '{"1":1,"0":1,"1":1}',
    '{"2147483648":1}', '{"0":null}', '{"0":true}', '{"0":1.5}', '{"0":{}}', '{"0":[]}',
    '{"0":"x"}', '{"0":"snapshot"}', '{"0":"\u0031"}', '{"0":"@-1 month"}', '{"":1}', '{"0":""}',
    '{"0":"@2024-05-31"}', '{"0" 1}', '{"0":1 "1":2}', '{"0','{"0":1--1}']) v;
SELECT v, ranges_of(NULL, v) FROM unnest(ARRAY['{"0":-5}', '{"0":"newest"}']) v;

-- A session's settings do not change what an option means.
CREATE FOREIGN TABLE fixed_time (value text) SERVER no_broker
    OPTIONS (start_offset '@2024-02-01 10:00 Europe/Berlin', end_offset '@-1h 30min');
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'sql_standard';
EXPLAIN (COSTS OFF) SELECT * FROM fixed_time;
SELECT ranges_of('@01.02.2024 10:00+01'), ranges_of('@2024-02-01 10:00'), ranges_of('@-1h 30min');
SHOW TimeZone;
SHOW DateStyle;
RESET TimeZone;
RESET DateStyle;
RESET IntervalStyle;
SET TimeZone = 'UTC';
-- And reading an option changes none, in a read-only transaction too.
BEGIN READ ONLY;
EXPLAIN (COSTS OFF) SELECT * FROM fixed_time;
ROLLBACK;
SHOW TimeZone;

-- The end of a tail
SELECT w, ranges_of('earliest', e, w)
    FROM unnest(ARRAY['0', '5s', '-1']) w, unnest(ARRAY[NULL, 'snapshot', '100']) e;
-- The whole error
SELECT sqlstate, message, detail, hint
    FROM try($$CREATE FOREIGN TABLE t () SERVER no_broker OPTIONS (start_offset 'erliest')$$) \gx
SELECT sqlstate, message, detail, hint
    FROM try($$CREATE FOREIGN TABLE t () SERVER no_broker OPTIONS (end_offset '@2024-05-31')$$) \gx
-- and of functions, which contact nobody to find that out
SELECT sqlstate, message, hint FROM try($$SELECT kafka_read('x', start_offset => 'x', server => 'no_broker')$$) \gx
SELECT sqlstate, message FROM try($$SELECT kafka_read('x', end_offset => '-5', server => 'no_broker')$$) \gx

DROP FOREIGN TABLE fixed_time;
DROP FUNCTION ranges_of;
DROP SERVER no_broker;
