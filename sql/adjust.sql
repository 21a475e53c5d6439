-- Tables made for adjust's kafka_fdw show the rows that they did: what its published tests say of csv
-- and json, strict, ignore_junk, junk and junk_error, over messages of our own.
SET client_min_messages = warning;
SET timezone = 'PST8PDT';
SET datestyle = 'Postgres, MDY';
CREATE SERVER adjust FOREIGN DATA WRAPPER kafka_fdw OPTIONS (brokers 'localhost:1');
DROP SERVER adjust;
SELECT topic('adjust.csv') AS csv, topic('adjust.json') AS json \gset
SELECT kafka_create_topic(:'csv', 1), kafka_create_topic(:'json', 1);
CREATE FOREIGN TABLE adjust_raw (value text) SERVER kafka OPTIONS (topic :'csv');
INSERT INTO adjust_raw VALUES
    ('11,"all is well",03-04-2016,Fri Mar 04 11:12:13 2016'),
    ('22,"one more",03-04-2016,Fri Mar 04 11:12:13 2016,surplus'),
    ('33,"one more, empty",03-04-2016,Fri Mar 04 11:12:13 2016,'),
    ('44,"no time",03-04-2016,'),
    ('55,"wrong date",someday,Fri Mar 04 11:12:13 2016'),
    ('66,"a quote that is not closed","03-04-2016,Fri Mar 04 11:12:13 2016'),
    ('123456789012,"large number",03-04-2016,Fri Mar 04 11:12:13 2016'),
    ('123456789012,"all of it",13-13-2016,Fri Mar 04 11:12:13 2016,surplus'),
    ('"88,not closed from the first on,03-04-2016,Fri Mar 04 11:12:13 2016');
ALTER FOREIGN TABLE adjust_raw OPTIONS (SET topic :'json');
INSERT INTO adjust_raw VALUES
    ('{"int_val" : 11, "text_val" : "all is well", "date_val" : "2016-03-04", "time_val" : "2016-03-04T11:12:13"}'),
    ('{"int_val" : 22, "text_val" : "one more", "date_val" : "2016-03-04", "time_val" : "2016-03-04T11:12:13", "other": "x"}'),
    ('{"int_val" : 33, "text_val" : "one more, null", "date_val" : "2016-03-04", "time_val" : "2016-03-04T11:12:13", "other": null}'),
    ('{"int_val" : 44, "text_val" : "wrong date, two times", "date_val" : "someday", "time_val" : "2000-01-01T00:00:00", "time_val": "2016-03-04T11:12:13"}'),
    ('{"int_val" : 55, "text_val" : "a quote that is not closed", "date_val" : "2016-03-04", "time_val : "2016-03-04T11:12:13"}'),
    ('{"int_val" : 123456789012, "text_val" : "large number", "date_val" : "2016-03-04", "time_val" : "2016-03-04T11:12:13"}'),
    ('{"int_val" : "123456789012", "text_val" : "all of it", "date_val" : "2016-13-13", "time_val" : "2016-03-04T11:12:13", "other": "x"}'),
    ('{"int_val" : 88, "text_val" : "empty time", "date_val" : "2016-03-04", "time_val" : ""}'),
    ('{"int_val" : 99, "text_val" : "null time", "date_val" : "2016-03-04", "time_val" : null}'),
    ('{"int_val" : 10, "date_val" : "2016-03-04", "time_val" : }');

-- junk and junk_error
CREATE FOREIGN TABLE adjust_junk_csv (
    part int OPTIONS (partition 'true'),
    offs bigint OPTIONS (offset 'true'),
    some_int int,
    some_text text,
    some_date date,
    some_time timestamp,
    junk text OPTIONS (junk 'true'),
    junk_err text OPTIONS (junk_error 'true')
) SERVER kafka OPTIONS (format 'csv', topic :'csv');
CREATE FOREIGN TABLE adjust_junk_json (
    part int OPTIONS (partition 'true'),
    offs bigint OPTIONS (offset 'true'),
    int_val int,
    text_val text,
    date_val date,
    time_val timestamp,
    junk text OPTIONS (junk 'true'),
    junk_err text OPTIONS (junk_error 'true')
) SERVER kafka OPTIONS (format 'json', topic :'json');
\x on
SELECT offs, some_int, some_text, some_date, some_time, junk, string_to_array(junk_err, E'\n')
    FROM adjust_junk_csv WHERE offs >= 0 AND part = 0;
SELECT offs, int_val, text_val, date_val, time_val, junk, string_to_array(junk_err, E'\n')
    FROM adjust_junk_json WHERE offs >= 0 AND part = 0;
\x off

-- strict
CREATE FOREIGN TABLE adjust_strict_csv (
    part int OPTIONS (partition 'true'),
    offs bigint OPTIONS (offset 'true'),
    some_int int,
    some_text text,
    some_date date,
    some_time timestamp
) SERVER kafka OPTIONS (format 'csv', topic :'csv', strict 'true');
CREATE FOREIGN TABLE adjust_strict_json (
    part int OPTIONS (partition 'true'),
    offs bigint OPTIONS (offset 'true'),
    some_int int OPTIONS (json 'int_val'),
    text_val text,
    some_date date OPTIONS (json 'date_val'),
    time_val timestamp
) SERVER kafka OPTIONS (format 'json', topic :'json', strict 'true');
SELECT offs, e.sqlstate, e.message, e.detail FROM generate_series(0, 8) offs,
    try(format('SELECT * FROM adjust_strict_csv WHERE offs = %s AND part = 0 LIMIT 1', offs)) e;
SELECT offs, e.sqlstate, e.message, e.detail FROM generate_series(0, 9) offs,
    try(format('SELECT * FROM adjust_strict_json WHERE offs = %s AND part = 0 LIMIT 1', offs)) e;
SELECT * FROM adjust_strict_csv WHERE offs IN (0, 3) AND part = 0;
SELECT * FROM adjust_strict_json WHERE offs IN (0, 8) AND part = 0;

-- ignore_junk
ALTER FOREIGN TABLE adjust_strict_csv OPTIONS (DROP strict, ADD ignore_junk 'true');
SELECT * FROM adjust_strict_csv WHERE offs >= 0 AND part = 0;
ALTER FOREIGN TABLE adjust_strict_json OPTIONS (DROP strict, ADD ignore_junk 'true');
SELECT * FROM adjust_strict_json WHERE offs >= 0 AND part = 0;
ALTER FOREIGN TABLE adjust_strict_csv OPTIONS (SET ignore_junk 'false');
SELECT sqlstate, message FROM try('SELECT * FROM adjust_strict_csv WHERE offs >= 4');
-- Without any of them: what is missing or too much is passed over, what is wrong is an error.
ALTER FOREIGN TABLE adjust_strict_csv OPTIONS (DROP ignore_junk);
SELECT * FROM adjust_strict_csv WHERE offs < 4;
SELECT sqlstate, message FROM try('SELECT * FROM adjust_strict_csv WHERE offs = 4');

-- Sending: what they wrote is read again. RETURNING knows the offset here.
SELECT topic('adjust.prod') AS prod, topic('adjust.prod_json') AS prod_json \gset
SELECT kafka_create_topic(:'prod', 4), kafka_create_topic(:'prod_json', 4);
CREATE TYPE adjust_type AS (a int, b text);
CREATE FOREIGN TABLE adjust_prod (
    part int OPTIONS (partition 'true'),
    offs bigint OPTIONS (offset 'true'),
    some_int int,
    some_text text,
    some_date date,
    some_time timestamp
) SERVER kafka OPTIONS (format 'csv', topic :'prod');
CREATE FOREIGN TABLE adjust_prod_json (
    part int OPTIONS (partition 'true'),
    offs bigint OPTIONS (offset 'true'),
    some_int int,
    some_time timestamp,
    some_timetz timestamptz,
    some_array text[],
    some_type adjust_type,
    some_json jsonb
) SERVER kafka OPTIONS (format 'json', topic :'prod_json');
INSERT INTO adjust_prod (part, some_int, some_text, some_date) VALUES
    (1, 1, 'one', '2017-01-01'), (1, 2, 'two, and more', '2017-01-02'), (1, 3, NULL, '2017-01-03')
    RETURNING *;
SELECT * FROM adjust_prod WHERE offs >= 0 AND part = 1;
INSERT INTO adjust_prod (some_int, some_text, some_date, some_time)
    SELECT i, 'text for number ' || i, '2015-01-01'::date + i, '2015-01-01'::timestamp + i * interval '1 min'
    FROM generate_series(1, 1000) i;
SELECT count(*), count(DISTINCT part), sum(some_int), max(some_date), max(some_time) FROM adjust_prod;
INSERT INTO adjust_prod_json (part, some_int, some_time, some_timetz, some_array, some_type, some_json) VALUES
    (1, 1, '2017-01-01 00:00:01', '2017-01-01 00:00:01', ARRAY['1', 'two [2]', '"3"'], '(1,"a b")', '{"a": 1, "b": [2]}'),
    (1, 2, NULL, NULL, ARRAY[['1', '2'], ['3', '4']], NULL, 'null')
    RETURNING *;
SELECT * FROM adjust_prod_json WHERE offs >= 0 AND part = 1;
