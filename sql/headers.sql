-- Message headers as jsonb and as kafka_header[], in both directions.
SELECT topic('headers') AS t \gset
SELECT kafka_create_topic(:'t', 1);
CREATE FOREIGN TABLE headers_json ("offset" bigint, partition int, value text, headers jsonb)
    SERVER kafka OPTIONS (topic :'t');
CREATE FOREIGN TABLE headers_array ("offset" bigint, partition int, value text, headers kafka_header[])
    SERVER kafka OPTIONS (topic :'t');

-- Sent as an array, which has everything: order, repeated names, null, empty, bytes that are not text.
INSERT INTO headers_array (value, headers) VALUES
    ('none', NULL),
    ('empty array', '{}'),
    ('one', ARRAY[('a', 'x')]::kafka_header[]),
    ('repeated', ARRAY[('b', '1'), ('a', '2'), ('b', '3'), ('b', NULL)]::kafka_header[]),
    ('null and empty', ARRAY[('n', NULL), ('e', ''), ('', 'no name')]::kafka_header[]),
    ('bytes', ARRAY[('bytes', '\x00ff'), ('zero', '\x610062'), ('text', 'Grüße'::bytea), ('ключ', 'значение'::bytea)]::kafka_header[]),
    ('looks like', ARRAY[('a', '{"base64": "AP8="}'), ('b', 'null'), ('c', '17')]::kafka_header[]);
SELECT value, headers FROM headers_array ORDER BY "offset";
SELECT value, headers FROM headers_json ORDER BY "offset";
-- What is read can be sent again and reads the same, in either form.
SELECT max("offset") AS last FROM headers_json \gset
INSERT INTO headers_json (value, headers) SELECT value, headers FROM headers_json ORDER BY "offset";
INSERT INTO headers_array (value, headers) SELECT value, headers FROM headers_array
    WHERE "offset" <= :last ORDER BY "offset";
SELECT count(*) FROM headers_json a JOIN headers_json b
    ON b."offset" = a."offset" + :last + 1 AND a.headers = b.headers WHERE a."offset" <= :last;
SELECT count(*) FROM headers_array a JOIN headers_array b
    ON b."offset" = a."offset" + 2 * (:last + 1) AND a.headers = b.headers WHERE a."offset" <= :last;

-- The shapes of jsonb that are accepted, and what they become.
INSERT INTO headers_json (value, headers) VALUES
    ('shapes', '{"string": "s", "number": 1.50, "big": 1e20, "true": true, "null": null,
                 "bytes": {"base64": "AP8="}, "no bytes": {"base64": ""},
                 "list": ["a", null, 2, false, {"base64": "/w=="}], "none": [], "one": ["x"]}')
    RETURNING headers -> 'number' AS as_given;
SELECT h.name, encode(h.value, 'escape') AS value, h.value IS NULL AS is_null
    FROM headers_array, unnest(headers) WITH ORDINALITY h (name, value, n) WHERE headers_array.value = 'shapes' ORDER BY n;
SELECT headers FROM headers_json WHERE value = 'shapes';
SELECT r.sqlstate, r.message, r.detail, r.context FROM (VALUES
    (1, '{"a": {"b": 1}}'), (2, '{"a": {}}'), (3, '{"a": {"base64": 1}}'), (4, '{"a": {"base64": "AP8=", "b": 1}}'),
    (5, '{"a": [["b"]]}'), (6, '{"a": [{"b": 1}]}'), (7, '{"a": {"base64": "A"}}'), (8, '{"a": {"base64": "not it"}}'),
    (9, '["a"]'), (10, '"a"'), (11, 'null')) AS v (n, headers),
    LATERAL try(format('INSERT INTO headers_json (value, headers) VALUES (%L, %L)', 'v', headers)) r ORDER BY n;
SELECT r.sqlstate, r.message, r.context FROM (VALUES
    (1, $$ARRAY[('a', 'x'), NULL]::kafka_header[]$$), (2, $$ARRAY[(NULL, 'x')]::kafka_header[]$$)) AS v (n, headers),
    LATERAL try(format('INSERT INTO headers_array (value, headers) VALUES (%L, %s)', 'v', headers)) r ORDER BY n;
-- The same shapes through a function.
SELECT kafka_send(:'t', 'sent', headers => '{"f": ["1", null, {"base64": "/w=="}]}') IS NOT NULL AS sent;
SELECT headers FROM headers_json WHERE value = 'sent';
-- Many headers of one message keep their order within a name.
INSERT INTO headers_array (value, headers)
    SELECT 'many', array_agg((('h' || n % 10), n::text::bytea)::kafka_header ORDER BY n) FROM generate_series(1, 10000) n;
SELECT jsonb_array_length(headers -> 'h7'), headers -> 'h7' ->> 0 AS first, headers -> 'h7' ->> 999 AS last
    FROM headers_json WHERE value = 'many';
SELECT array_length(headers, 1), headers[7], headers[10000] FROM headers_array WHERE value = 'many';
-- Headers can be looked for; where nothing asks for them they are not read.
SELECT value FROM headers_json WHERE headers @> '{"a": "x"}' AND "offset" <= :last;
SELECT count(*) FROM headers_json WHERE "offset" <= :last;
