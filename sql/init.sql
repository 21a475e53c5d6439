-- What every other test stands on: the extension, a server, and names of this run.
\set bootstrap localhost:9092
\getenv bootstrap KAFKA_BOOTSTRAP
SET client_min_messages = warning;
CREATE EXTENSION kafka_fdw;
CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers :'bootstrap');
CREATE TABLE test_run AS
    SELECT to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS id;
-- A topic's name in this run, so that two runs on one broker do not meet.
CREATE FUNCTION topic(name text) RETURNS text LANGUAGE sql STABLE
    AS $$ SELECT name || '.' || id FROM test_run $$;
-- Run a statement that fails, and show the error in full, free of the run's names.
CREATE FUNCTION try(statement text, OUT sqlstate text, OUT message text, OUT detail text,
                    OUT hint text, OUT context text) LANGUAGE plpgsql AS $$
DECLARE
    run text := '.' || (SELECT id FROM test_run);
BEGIN
    EXECUTE statement;
    message := 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS try.sqlstate = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    message := replace(message, run, '');
    detail := nullif(replace(detail, run, ''), '');
    hint := nullif(replace(hint, run, ''), '');
    context := nullif(split_part(replace(context, run, ''), E'\n', 1), '');
    IF context LIKE 'SQL statement%' OR context LIKE 'PL/pgSQL%' THEN
        context := NULL;        -- only that this function was in the way
    END IF;
END $$;
