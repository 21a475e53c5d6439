-- IMPORT FOREIGN SCHEMA: a foreign table for every topic.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SET client_min_messages = warning;
-- The topics of this test only: a server can be narrowed to some.
SELECT format('*import*.%1$s*, IMPORT*.%1$s', id) AS allowed FROM test_run \gset
CREATE SERVER kafka_import FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (bootstrap_servers :'bootstrap', allowed_topics :'allowed');
SELECT topic('import.plain') AS plain, topic('IMPORT_Upper-case') AS upper,
       topic('import') || repeat('.long', 40) AS long,
       repeat('same', 16) || topic('.import') || '.1' AS same1, repeat('same', 16) || topic('.import') || '.2' AS same2 \gset
SELECT kafka_create_topic(t, 1, server => 'kafka')
    FROM unnest(ARRAY[:'plain', :'upper', :'long', :'same1', :'same2']) t;
SELECT kafka_send(:'plain', 'v', 'k', headers => '{"h": "1"}', server => 'kafka');
-- What was imported, free of this run's names.
CREATE VIEW imported AS
    SELECT n.nspname AS schema,
           regexp_replace(replace(c.relname, '.' || id, ''), '_[0-9a-f]{8}$', '_hash') AS table,
           length(c.relname) AS length,
           (SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
            FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) AS columns,
           replace(array_to_string(f.ftoptions, ' '), '.' || id, '') AS options
    FROM test_run, pg_foreign_table f JOIN pg_class c ON c.oid = ftrelid JOIN pg_namespace n ON n.oid = relnamespace
    WHERE n.nspname LIKE 'import%';

-- The remote schema's name says nothing.
CREATE SCHEMA import;
IMPORT FOREIGN SCHEMA anything FROM SERVER kafka_import INTO import;
SELECT "table", length, columns FROM imported ORDER BY "table" COLLATE "C", options COLLATE "C";
SELECT "table", options FROM imported ORDER BY "table" COLLATE "C", options COLLATE "C";
SELECT partition, "offset", key, value, headers FROM import.:"plain";
-- The table states its topic, so that it can be renamed.
ALTER FOREIGN TABLE import.:"plain" RENAME TO renamed;
SELECT key, value FROM import.renamed;
SELECT sqlstate, message FROM try('IMPORT FOREIGN SCHEMA kafka LIMIT TO ("' || topic('IMPORT_Upper-case') || '")
    FROM SERVER kafka_import INTO import');

-- LIMIT TO and EXCEPT; a name that is cut is found by what is left of it, or by the whole.
CREATE SCHEMA import_limit;
IMPORT FOREIGN SCHEMA kafka LIMIT TO (:"plain", :"long", nothing) FROM SERVER kafka_import INTO import_limit;
SELECT "table" FROM imported WHERE schema = 'import_limit' ORDER BY "table" COLLATE "C";
CREATE SCHEMA import_except;
IMPORT FOREIGN SCHEMA kafka EXCEPT (:"plain", :"long") FROM SERVER kafka_import INTO import_except;
SELECT "table" FROM imported WHERE schema = 'import_except' ORDER BY "table" COLLATE "C";

-- Options.
CREATE SCHEMA import_options;
IMPORT FOREIGN SCHEMA kafka LIMIT TO (:"plain") FROM SERVER kafka_import INTO import_options
    OPTIONS (key_type 'bytea', value_type 'varchar(20)', headers 'false');
SELECT columns FROM imported WHERE schema = 'import_options';
DROP SCHEMA import_options CASCADE;
-- A type means what it means to who imports, whatever shadows it.
CREATE SCHEMA import_types;
CREATE DOMAIN import_types."Odd name" AS jsonb;
SET search_path = public, import_types;
CREATE SCHEMA import_options;
IMPORT FOREIGN SCHEMA kafka LIMIT TO (:"plain") FROM SERVER kafka_import INTO import_options
    OPTIONS (key_type '"Odd name"[]', value_type 'json', internal 'true', headers 'on');
RESET search_path;
SELECT columns FROM imported WHERE schema = 'import_options';
DROP SCHEMA import_options CASCADE;
CREATE SCHEMA import_options;
SELECT n, r.sqlstate, r.message, r.hint FROM (VALUES
    (1, $$value_typ 'text'$$), (2, $$colour 'red'$$), (3, $$value_type 'nosuchtype'$$), (4, $$value_type ''$$),
    (5, $$key_type 'text); DROP TABLE test_run; --'$$), (6, $$key_type 'text, x int'$$), (7, $$key_type 'cstring'$$),
    (8, $$headers 'perhaps'$$), (9, $$key_type 'setof text'$$)) AS v (n, options),
    LATERAL try('IMPORT FOREIGN SCHEMA kafka LIMIT TO ("' || topic('import.plain') || '")
                 FROM SERVER kafka_import INTO import_options OPTIONS (' || options || ')') r ORDER BY n;
SELECT count(*) FROM imported WHERE schema = 'import_options';

-- USAGE on the server is needed.
CREATE ROLE regress_kafka_importer;
GRANT CREATE ON SCHEMA import_options TO regress_kafka_importer;
GRANT SELECT ON test_run TO regress_kafka_importer;
SET ROLE regress_kafka_importer;
SELECT sqlstate, message FROM try('IMPORT FOREIGN SCHEMA kafka FROM SERVER kafka_import INTO import_options');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER kafka_import TO regress_kafka_importer;
SET ROLE regress_kafka_importer;
IMPORT FOREIGN SCHEMA kafka LIMIT TO (:"plain") FROM SERVER kafka_import INTO import_options;
RESET ROLE;
SELECT c.relowner::regrole FROM pg_class c WHERE relnamespace = 'import_options'::regnamespace;

DROP SCHEMA import, import_limit, import_except, import_options, import_types CASCADE;
DROP VIEW imported;
DROP OWNED BY regress_kafka_importer;
DROP ROLE regress_kafka_importer;
SELECT kafka_delete_topic(t, server => 'kafka')
    FROM unnest(ARRAY[:'plain', :'upper', :'long', :'same1', :'same2']) t;
DROP SERVER kafka_import;
