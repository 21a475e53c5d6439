-- psql's \df+, \d+ and \dx+ tell of everything what it is for: each object of the extension has a
-- comment, and so has each column of its views and types.
-- PostgreSQL 17 counts the types of rows and of arrays among them.
CREATE TEMP VIEW member AS
    SELECT classid, objid FROM pg_depend
    WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
        AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'kafka_fdw')
        AND NOT (classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = typrelid
            WHERE t.oid = objid AND (typcategory = 'A' OR relkind <> 'c')));
CREATE TEMP VIEW without_comment AS
    SELECT pg_describe_object(classid, objid, 0) AS object FROM member
    WHERE obj_description(objid, classid::regclass::name) IS NULL
    UNION ALL
    SELECT pg_describe_object('pg_class'::regclass, attrelid, attnum)
    FROM member LEFT JOIN pg_type t ON classid = 'pg_type'::regclass AND t.oid = objid
        JOIN pg_class c ON c.oid = CASE classid WHEN 'pg_class'::regclass THEN objid ELSE typrelid END
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relkind IN ('v', 'c') AND col_description(a.attrelid, a.attnum) IS NULL;
SELECT * FROM without_comment ORDER BY 1;

-- It would find what has none.
BEGIN;
COMMENT ON FUNCTION kafka_topics IS NULL;
COMMENT ON COLUMN kafka_header.name IS NULL;
COMMENT ON COLUMN kafka_connections.uses IS NULL;
SELECT * FROM without_comment ORDER BY 1;
ROLLBACK;

-- What changes the cluster is for nobody but the owner until it is granted.
SELECT objid::regprocedure AS not_for_public FROM member
WHERE classid = 'pg_proc'::regclass AND NOT has_function_privilege('pg_monitor', objid, 'EXECUTE')
ORDER BY objid::regprocedure::text;
DROP VIEW member CASCADE;
