-- Times and numbers whose usual spellings are read without their input functions: the same value for
-- whatever text there is, under all settings.
SET client_min_messages = warning;
SELECT topic('datum_short') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE short_raw (n bigint OPTIONS (offset 'true'), value text) SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE short_read (n bigint OPTIONS (offset 'true'), v text, d date OPTIONS (json 'v'),
    ts timestamp OPTIONS (json 'v'), tz timestamptz OPTIONS (json 'v'), num numeric OPTIONS (json 'v'),
    ts0 timestamp(0) OPTIONS (json 'v'), tz2 timestamptz(2) OPTIONS (json 'v'), num2 numeric(8,2)
        OPTIONS (json 'v'), error text OPTIONS (junk_error 'true')) SERVER kafka OPTIONS (topic :'t',
        format 'json');
CREATE TABLE spellings (v text);
-- Dates good and bad, with one thing or another behind them.
INSERT INTO spellings SELECT y || m || d || s || z FROM
    unnest('{2024,1900,2000,0001,0000,9999,10000,99}'::text[]) y, unnest('{-02,-12,-13,-00,/02}'::text[]) m,
        unnest('{-29,-28,-31,-00,-1}'::text[]) d,
    unnest('{""," ",T,T12:34:56," 12:34:56 BC"}'::text[]) s, unnest('{"",Z}'::text[]) z WHERE z = ''
        OR s = 'T12:34:56';
-- Times of one day, and around a change of clocks.
INSERT INTO spellings SELECT d || t || f || z FROM unnest('{2024-03-31,2024-10-27}'::text[]) d,
    unnest('{T02:30:00," 02:30:00",T00:00:00,T23:59:59,T23:59:60,T24:00:00,T12:60:00,t01:02:03,T1:02:03}'::text[]) t,
    unnest('{"",.,.1,.123456,.1234567,.000001}'::text[]) f,
    unnest('{"",Z,z," Z",-03,+05:45,+15:59,+16,-0330,+1,"+01:30:15",+05:60," Europe/Berlin"}'::text[]) z;
-- Numbers.
INSERT INTO spellings SELECT s || i || f || e FROM unnest('{"",-,+}'::text[]) s,
    unnest('{"",0,00,12345,99999999,123456789012345678,1234567890123456789}'::text[]) i,
    unnest('{"",.,.0,.50,.1234,.00001,.123456789012345678,..,.5.}'::text[]) f, unnest('{"",e3," "}'::text[]) e;
-- A place of a good one changed at random.
SELECT setseed(0.25);
INSERT INTO spellings SELECT overlay(v placing substr('0123456789-+:.TZ ', 1 + floor(random() * 17)::int,
    floor(random() * 2)::int) FROM 1 + floor(random() * length(v))::int FOR floor(random() * 2)::int)
    FROM unnest('{2024-02-29T12:34:56.789012+01:30,2024-02-29 12:34:56,2024-02-29,-12345.678}'::text[]) v,
        generate_series(1, 600);
INSERT INTO spellings SELECT (timestamptz '1950-01-01' + random() * interval '120 years')::text
    FROM generate_series(1, 500);
INSERT INTO spellings SELECT to_json(timestamp '0900-01-01' + random() * interval '9000 years') #>> '{}'
    FROM generate_series(1, 500);
INSERT INTO short_raw (value) SELECT json_build_object('v', v)::text FROM (SELECT DISTINCT v FROM spellings) s;
CREATE FUNCTION spelled(text text, type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT %L::%s', text, type) INTO result;
    RETURN result;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
SELECT count(*) > 5000 AS many FROM short_raw;
-- Of every so many messages, since casts that fail take their time.
CREATE FUNCTION short_differences(every int, OUT v text, OUT type text, OUT got text,
    OUT want text) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT v, type, got, spelled(v, type) FROM short_read, LATERAL (VALUES ('date', d::text), ('timestamp',
        ts::text), ('timestamptz', tz::text), ('numeric', num::text),
        ('timestamp(0)', ts0::text), ('timestamptz(2)', tz2::text), ('numeric(8,2)', num2::text)) w (type, got)
    WHERE n % every = 0 AND got IS DISTINCT FROM spelled(v, type) $$;
SET timezone = 'Europe/Berlin';
SET datestyle = 'ISO, DMY';
SELECT count(d) > 100 AS dates, count(ts) > 500 AS timestamps, count(tz) > 500 AS zoned,
    count(num) > 200 AS numbers FROM short_read;
SELECT * FROM short_differences(2) LIMIT 10;
SET timezone = 'America/New_York';
SET datestyle = 'SQL, MDY';
SELECT * FROM short_differences(4) LIMIT 10;
SET timezone = 'Asia/Kathmandu';
SET datestyle = 'German';
SELECT * FROM short_differences(4) LIMIT 10;
-- What is behind the text does not count, and numbers are as exact as they are long.
SELECT v, num, num::text = v AS same, pg_column_size(num) = pg_column_size(v::numeric) AS size FROM short_read
    WHERE v IN ('0', '00.0', '-0.50', '7.00001', '123456789012345678', '12345.1234', '-99999999.50')
    ORDER BY v COLLATE "C";
