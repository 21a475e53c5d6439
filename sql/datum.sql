-- Integers, floating-point numbers and booleans, whose usual spellings are read without their input
-- functions: the same value, or the same error, as a cast has, for whatever text there is.
SET client_min_messages = warning;
SELECT topic('datum') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE datum_raw (value text) SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE datum_read (
    n bigint OPTIONS (offset 'true'), v text OPTIONS (value 'true'),
    i2 smallint OPTIONS (value 'true'), i4 int OPTIONS (value 'true'), i8 bigint OPTIONS (value 'true'),
    f4 real OPTIONS (value 'true'), f8 float8 OPTIONS (value 'true'), b boolean OPTIONS (value 'true'),
    error text OPTIONS (junk_error 'true')
) SERVER kafka OPTIONS (topic :'t');
CREATE TABLE datum_spellings (v text);
-- Around the limits of each type, with what may stand before and behind
INSERT INTO datum_spellings SELECT s || i || f || e FROM unnest('{"",-,+," ",--}'::text[]) s,
    unnest('{"",0,00,1,007,32767,32768,2147483647,2147483648,16777215,16777217,9007199254740991,9007199254740992,
        9007199254740993,99999999999999999,999999999999999999,1000000000000000000,9223372036854775807,
        9223372036854775808,9223372036854775809,18446744073709551616,99999999999999999999,1_000,0x1F,0b11}'::text[]) i,
    unnest('{"",.,.0,.5,.25,.1,.000,.00000000001,.0000000000000000000001,.5.}'::text[]) f,
    unnest('{""," ",e3,x}'::text[]) e;
-- Decimals of every length, of which the last digits decide how they are rounded
SELECT setseed(0.5);
INSERT INTO datum_spellings SELECT substr(d, 1, point) || '.' || substr(d, point + 1) FROM
    (SELECT substr(random()::text || random()::text, 3, 1 + floor(random() * 19)::int) AS d, floor(random() * 19)::int AS point
     FROM generate_series(1, 4000)) t;
INSERT INTO datum_spellings SELECT (16777216 + i)::text || f FROM generate_series(-2, 2) i, unnest('{"",.5,.4999,.5001}'::text[]) f;
INSERT INTO datum_spellings SELECT (9007199254740992 + i)::text || f FROM generate_series(-3, 3) i, unnest('{"",.5,.4}'::text[]) f;
INSERT INTO datum_spellings SELECT unnest('{t,f,true,false,tru,fals,truee,T,F,TRUE,False,y,n,yes,no,on,off,o,1,0," t ","t ",tt,NaN,inf,-Infinity,infinit}'::text[]);
INSERT INTO datum_raw SELECT DISTINCT v FROM datum_spellings;
CREATE FUNCTION spelt(text text, type text, OUT value text, OUT error text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT %L::%s', text, type) INTO value;
EXCEPTION WHEN data_exception THEN
    error := SQLERRM;
END $$;
SELECT count(*) > 7000 AS many, count(i2) > 20 AS i2, count(i4) > 50 AS i4, count(i8) > 100 AS i8, count(f4) > 5000 AS f4,
    count(f8) > 5000 AS f8, count(b) > 20 AS b FROM datum_read;
SELECT r.v, type, got, want.* FROM datum_read r,
    LATERAL (VALUES ('smallint', i2::text), ('int', i4::text), ('bigint', i8::text), ('real', f4::text), ('float8', f8::text),
        ('boolean', b::text)) w (type, got),
    LATERAL spelt(r.v, type) want
    WHERE got IS DISTINCT FROM want.value OR (want.error IS NOT NULL AND strpos(coalesce(r.error, ''), want.error) = 0)
    ORDER BY r.v COLLATE "C" LIMIT 10;
-- Minus zero is one.
SELECT v, f4, f8 FROM datum_read WHERE v IN ('-0', '-0.0', '-00.000') ORDER BY v COLLATE "C";
