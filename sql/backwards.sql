-- ORDER BY "offset" DESC: a partition read backwards in blocks.
SELECT topic('backwards') AS t, topic('backwards.big') AS big \gset
SELECT kafka_create_topic(:'t', 2);
CREATE FOREIGN TABLE backwards (partition int, "offset" bigint, key text, value text, headers jsonb)
    SERVER kafka OPTIONS (topic :'t');
INSERT INTO backwards (partition, key, value, headers)
    SELECT 0, nullif(i % 7, 0), CASE WHEN i % 7 = 0 OR i % 3 > 0 THEN repeat('v', i % 5) END,
        CASE WHEN i % 2 = 0 THEN jsonb_build_object('i', i::text, 'n', NULL) END
    FROM generate_series(0, 4999) i;
INSERT INTO backwards (partition, value) SELECT 1, i FROM generate_series(0, 99) i;

-- Whether a query comes without a Sort, and its rows in the right order and number.
CREATE FUNCTION sorted(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN CASE WHEN jsonb_path_exists(plan, '$.** ? (@."Node Type" like_regex "Sort")')
                THEN 'by a sort' ELSE 'by the scan' END;
END $$;
-- The messages that a query received.
CREATE FUNCTION received(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
    RETURN jsonb_path_query_first(plan, '$.**."Kafka Messages"')::bigint;
END $$;

SELECT sorted('SELECT * FROM backwards WHERE partition = 0 ORDER BY "offset" DESC');
SELECT "offset", key, value, headers FROM backwards WHERE partition = 0 ORDER BY "offset" DESC
LIMIT 8;
SELECT received('SELECT * FROM backwards WHERE partition = 0 ORDER BY "offset" DESC LIMIT 8') < 500
    AS reads_only_the_tail;

-- All of it, forward and backward, is the same.
SELECT count(*), count(DISTINCT "offset"), min("offset"), max("offset"), bool_and(in_order)
FROM (SELECT "offset", "offset" < lag("offset", 1, 5000::bigint) OVER () AS in_order
      FROM (SELECT "offset" FROM backwards WHERE partition = 0 ORDER BY "offset" DESC) b) o;
SELECT count(*) FROM
    ((SELECT "offset", key, value, headers FROM backwards WHERE partition = 0
      ORDER BY "offset" DESC LIMIT 5000)
     EXCEPT SELECT "offset", key, value, headers FROM backwards WHERE partition = 0) d;

-- Several ranges, near and far; one that ends in the midst of a block; none.
SELECT array_agg("offset") FROM (SELECT "offset" FROM backwards WHERE partition = 0 AND
    ("offset" IN (0, 1, 7, 2500, 4998) OR "offset" BETWEEN 3000 AND 3003 OR "offset" > 4997)
    ORDER BY "offset" DESC) o;
SELECT count(*), min("offset"), max("offset") FROM (SELECT "offset" FROM backwards
    WHERE partition = 0 AND "offset" >= 17 AND "offset" < 4017 ORDER BY "offset" DESC LIMIT 3990) o;
SELECT "offset" FROM backwards WHERE partition = 0 AND "offset" > 6000 ORDER BY "offset" DESC;
SELECT "offset" FROM backwards WHERE partition = 2 ORDER BY "offset" DESC;
SELECT count(*), max("offset") FROM (SELECT "offset" FROM backwards WHERE partition = 0
    AND "offset" = ANY (SELECT i * 2 FROM generate_series(0, 999) i) ORDER BY "offset" DESC) o;
SELECT count(*), max("offset") FROM (SELECT "offset" FROM backwards WHERE partition = 0
    AND "offset" % 2 = 0 AND "offset" < 2000 ORDER BY "offset" DESC) o;

-- Within the table's own start and end.
ALTER FOREIGN TABLE backwards OPTIONS (ADD start_offset '-5', ADD end_offset '4998');
SELECT array_agg("offset") FROM (SELECT "offset" FROM backwards WHERE partition = 0
                                 ORDER BY "offset" DESC) o;
ALTER FOREIGN TABLE backwards OPTIONS (DROP start_offset, DROP end_offset);

-- Rescans, each with another partition, or with the same.
SELECT p, o.* FROM generate_series(0, 2) p LEFT JOIN LATERAL
    (SELECT array_agg("offset") FROM (SELECT "offset" FROM backwards WHERE partition = p
                                      ORDER BY "offset" DESC LIMIT 3) l) o ON true ORDER BY p;
SELECT i, (SELECT "offset" FROM backwards WHERE partition = 1 AND "offset" <= i * 30
           ORDER BY "offset" DESC LIMIT 1) FROM generate_series(0, 4) i;

-- A cursor, another scan beside it, and an end before its own.
BEGIN;
DECLARE c CURSOR FOR SELECT "offset" FROM backwards WHERE partition = 0 ORDER BY "offset" DESC;
FETCH 2 FROM c;
SELECT count(*) FROM backwards;
MOVE 100 IN c;
FETCH 2 FROM c;
CLOSE c;
COMMIT;

-- What is deleted ends it earlier.
SELECT kafka_delete_records(:'t', 0, 4990);
SELECT array_agg("offset") FROM (SELECT "offset" FROM backwards WHERE partition = 0
                                 ORDER BY "offset" DESC) o;

-- Memory is bounded in bytes: blocks of large messages are cut, and none is lost by that.
SELECT kafka_create_topic(:'big', 1, config => '{"max.message.bytes": 4000000}');
CREATE FOREIGN TABLE backwards_big (partition int, "offset" bigint, value text) SERVER kafka
    OPTIONS (topic :'big');
INSERT INTO backwards_big (value)
    SELECT repeat(chr(65 + i), CASE WHEN i % 10 = 0 THEN 900000 ELSE 500000 END)
    FROM generate_series(0, 49) i;
SELECT count(*), count(DISTINCT "offset"), bool_and(left(value, 1) = chr(65 + "offset"::int)),
    bool_and(in_order), sum(length(value))
FROM (SELECT *, "offset" < lag("offset", 1, 50::bigint) OVER () AS in_order
      FROM (SELECT "offset", value FROM backwards_big WHERE partition = 0
            ORDER BY "offset" DESC) b) o;

DROP FOREIGN TABLE backwards, backwards_big;
DROP FUNCTION sorted, received;
SELECT kafka_delete_topic(t) FROM unnest(ARRAY[:'t', :'big']) t;
