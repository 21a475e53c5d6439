/*
 * relay_store.c
 *		What a relay reads and writes in PostgreSQL: its place in the outbox, the rows of a batch,
 *		dead letters, and the emptying of the outbox's tables.
 *
 * Which rows are sent follows from snapshots alone. A *round* is a snapshot: its rows are those whose
 * transactions it shows and the round before did not. They are sent by rising id, in batches; the
 * place in a round is the last id sent. When a round has no row left it is the new "done". The rows
 * that "done" does not show belong either to transactions that it saw running, which are found by
 * their number, or to later ones, whose ids are above those that were given when "done" was taken.
 * Both are found by an index, so a batch costs the same however much was sent before, whatever old
 * snapshot or transaction is open.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "header.h"
#include "outbox.h"
#include "relay_private.h"
#include "setting.h"

#define BATCH_ROWS 10000
#define BATCH_BYTES (16 * 1024 * 1024)
#define FETCH_ROWS 1000

#define NOTHING_DONE "1:1:"		/* a snapshot that shows no transaction of ours */

/* The schema of the extension, quoted. */
static const char *
schema_name(void)
{
	return quote_identifier(get_namespace_name(KafkaOutboxSchema()));
}

static void
execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, int expected)
{
	int			rc = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	if (rc != expected)
		elog(ERROR, "unexpected result of a relay's statement: %s", SPI_result_code_string(rc));
}

static Datum
column(int row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

/* A column as text, in a context of the caller's; NULL where it is NULL. */
static char *
text_column(int number, MemoryContext context)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number);

	return text ? MemoryContextStrdup(context, text) : NULL;
}

static int64
int_column(int number)
{
	bool		isnull;
	Datum		datum = column(0, number, &isnull);

	return isnull ? 0 : DatumGetInt64(datum);
}

static List *
read_excluded(Datum datum)
{
	Datum	   *elements;
	int			n;
	List	   *result = NIL;

	deconstruct_array(DatumGetArrayTypeP(datum), INT8OID, 8, true, TYPALIGN_DOUBLE, &elements, NULL,
					  &n);
	for (int i = 0; i < n; i++)
	{
		int64	   *id = palloc(sizeof(int64));

		*id = DatumGetInt64(elements[i]);
		result = lappend(result, id);
	}
	return result;
}

RelayState *
kafka_relay_load(Oid serverid, Oid mapping, MemoryContext context)
{
	Oid			types[] = {OIDOID, OIDOID, INT8OID, OIDOID, TEXTOID, INT4OID};
	Datum		values[6];
	const char *schema = schema_name();
	MemoryContext oldcontext;
	RelayState *state;
	ForeignServer *server = GetForeignServer(serverid);
	char	   *name;
	bool		isnull;

	values[0] = ObjectIdGetDatum(serverid);
	values[1] = ObjectIdGetDatum(mapping);
	values[2] = Int64GetDatum((int64) GetSystemIdentifier());
	values[3] = ObjectIdGetDatum(MyDatabaseId);
	values[4] = CStringGetTextDatum(server->servername);
	values[5] = Int32GetDatum(MyProcPid);
	execute(psprintf("INSERT INTO %s.kafka_relay (serverid, mapping, server, identity, "
					 "system_identifier, databaseid, state, done, done_id, round_id, last_id) "
					 "VALUES ($1, $2, $5, pg_catalog.gen_random_uuid(), $3, $4, 'starting', "
					 "'" NOTHING_DONE "', 0, 0, 0) ON CONFLICT DO NOTHING", schema),
			5, types, values, NULL, SPI_OK_INSERT);
	execute(psprintf("UPDATE %s.kafka_relay SET server = $5, pid = $6, "
					 "state = CASE WHEN system_identifier = $3 AND databaseid = $4 AND state <> 'fenced' "
					 "THEN 'running' ELSE 'fenced' END "
					 "WHERE serverid = $1 AND mapping = $2 RETURNING identity::text, done::text, "
					 "done_id, round::text, round_id, last_id, batch, batch_to, excluded, stopped, state",
					 schema),
			6, types, values, NULL, SPI_OK_UPDATE_RETURNING);
	if (SPI_processed != 1)
		elog(ERROR, "the relay's row is missing");

	oldcontext = MemoryContextSwitchTo(context);
	state = palloc0(sizeof(RelayState));
	state->serverid = serverid;
	state->mapping = mapping;
	state->server = pstrdup(server->servername);
	state->identity = text_column(1, context);
	state->done = text_column(2, context);
	state->done_id = int_column(3);
	state->round = text_column(4, context);
	state->round_id = int_column(5);
	state->last_id = int_column(6);
	state->batch = text_column(7, context);
	state->batch_to = int_column(8);
	state->excluded = read_excluded(column(0, 9, &isnull));
	state->stopped = DatumGetBool(column(0, 10, &isnull));
	name = text_column(11, context);
	state->fenced = strcmp(name, "fenced") == 0;
	MemoryContextSwitchTo(oldcontext);
	return state;
}

/*
 * The ids given so far are read before the snapshot is taken: what a transaction that the snapshot
 * does not know adds is above them.
 */
void
kafka_relay_begin_round(RelayState *state, MemoryContext context)
{
	const char *schema = schema_name();

	execute(psprintf("SELECT coalesce(pg_catalog.pg_sequence_last_value(%s), 0)",
					 quote_literal_cstr(psprintf("%s.kafka_outbox_id", schema))),
			0, NULL, NULL, NULL, SPI_OK_SELECT);
	state->round_id = int_column(1);
	PushActiveSnapshot(GetLatestSnapshot());
	execute("SELECT pg_catalog.pg_current_snapshot()::text", 0, NULL, NULL, NULL, SPI_OK_SELECT);
	PopActiveSnapshot();
	state->round = text_column(1, context);
	state->last_id = 0;
}

/* The statement that finds a round's rows in the three tables. */
static char *
fetch_statement(void)
{
	const char *schema = schema_name();
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
	{
		const char *columns = "id, role::oid AS role, topic, partition, key, value, headers, "
			"\"timestamp\"";

		/* $1 server, $2 mapping, $3 done, $4 done_id, $5 round, $6 last_id, $7 upto, $8 limit */
		appendStringInfo(&sql, "%s(SELECT %s FROM %s.kafka_outbox_%d "
						 "WHERE serverid = $1 AND mapping = $2 AND id > GREATEST($4, $6) AND id <= $7 "
						 "AND xid >= pg_catalog.pg_snapshot_xmax($3) "
						 "AND pg_catalog.pg_visible_in_snapshot(xid, $5) ORDER BY id LIMIT $8)",
						 i > 0 ? " UNION ALL " : "", columns, schema, i);
		appendStringInfo(&sql, " UNION ALL (SELECT %s FROM %s.kafka_outbox_%d "
						 "WHERE xid = ANY (ARRAY(SELECT pg_catalog.pg_snapshot_xip($3))) "
						 "AND serverid = $1 AND mapping = $2 AND id > $6 AND id <= $7 "
						 "AND pg_catalog.pg_visible_in_snapshot(xid, $5) ORDER BY id LIMIT $8)",
						 columns, schema, i);
	}
	appendStringInfoString(&sql, " ORDER BY id LIMIT $8");
	return sql.data;
}

/* Bytes of a bytea column, in the current context. */
static const char *
bytes_column(int row, int number, Size *len)
{
	bool		isnull;
	Datum		datum = column(row, number, &isnull);
	struct varlena *bytes;

	*len = 0;
	if (isnull)
		return NULL;
	bytes = PG_DETOAST_DATUM_PACKED(datum);
	*len = VARSIZE_ANY_EXHDR(bytes);
	return memcpy(palloc(*len + 1), VARDATA_ANY(bytes), *len);
}

static RelayRow *
make_row(int i)
{
	RelayRow   *row = palloc0(sizeof(RelayRow));
	bool		isnull;
	Datum		datum;

	row->id = DatumGetInt64(column(i, 1, &isnull));
	row->role = DatumGetObjectId(column(i, 2, &isnull));
	row->topic = TextDatumGetCString(column(i, 3, &isnull));
	datum = column(i, 4, &isnull);
	row->message.partition = isnull ? KAFKA_ANY_PARTITION : DatumGetInt32(datum);
	row->message.key = bytes_column(i, 5, &row->message.keylen);
	row->message.value = bytes_column(i, 6, &row->message.valuelen);
	datum = column(i, 7, &isnull);
	if (!isnull)
		row->message.nheaders = KafkaHeaderFromArray(PointerGetDatum(PG_DETOAST_DATUM_COPY(datum)),
													 &row->message.headers);
	datum = column(i, 8, &isnull);
	row->message.timestamp = isnull ? KAFKA_NO_TIMESTAMP
		: DatumGetTimestampTz(datum) / 1000 + KAFKA_EPOCH_DIFFERENCE_US / 1000;
	return row;
}

List *
kafka_relay_fetch(const RelayState *state, int64 upto)
{
	static SPIPlanPtr plan = NULL;
	static Oid	plan_schema = InvalidOid;
	MemoryContext context = CurrentMemoryContext;
	Oid			types[8];
	Datum		values[8];
	Portal		portal;
	List	   *rows = NIL;
	Size		bytes = 0;
	bool		more = true;
	Oid			schema = KafkaOutboxSchema();

	kafka_parse_type("pg_catalog.pg_snapshot", &types[2], &(int32){0});
	types[0] = types[1] = OIDOID;
	types[3] = types[5] = types[6] = types[7] = INT8OID;
	types[4] = types[2];
	if (plan == NULL || plan_schema != schema)
	{
		plan = SPI_prepare(fetch_statement(), 8, types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare a relay's statement");
		plan_schema = schema;
	}
	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	values[2] = DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(state->done));
	values[3] = Int64GetDatum(state->done_id);
	values[4] = DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(state->round));
	values[5] = Int64GetDatum(state->last_id);
	values[6] = Int64GetDatum(upto > 0 ? upto : PG_INT64_MAX);
	values[7] = Int64GetDatum(upto > 0 ? PG_INT32_MAX : BATCH_ROWS);

	PushActiveSnapshot(GetLatestSnapshot());
	portal = SPI_cursor_open(NULL, plan, values, NULL, true);
	while (more && (upto > 0 || bytes < BATCH_BYTES))
	{
		MemoryContext oldcontext;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		more = SPI_processed == FETCH_ROWS;
		oldcontext = MemoryContextSwitchTo(context);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			RelayRow   *row = make_row((int) i);

			bytes += row->message.keylen + row->message.valuelen;
			rows = lappend(rows, row);
		}
		MemoryContextSwitchTo(oldcontext);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	PopActiveSnapshot();
	return rows;
}

static Datum
excluded_datum(List *excluded)
{
	Datum	   *elements = palloc(list_length(excluded) * sizeof(Datum));
	ListCell   *lc;

	foreach(lc, excluded)
		elements[foreach_current_index(lc)] = Int64GetDatum(*(int64 *) lfirst(lc));
	return PointerGetDatum(construct_array(elements, list_length(excluded), INT8OID, 8, true,
										   TYPALIGN_DOUBLE));
}

void
kafka_relay_save(const RelayState *state, const char *what, int64 sent)
{
	Oid			types[] = {OIDOID, OIDOID, TEXTOID, INT8OID, TEXTOID, INT8OID, INT8OID, TEXTOID,
		INT8OID, INT8ARRAYOID, TEXTOID, INT8OID};
	Datum		values[12];
	char		nulls[13] = "            ";

	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	values[2] = CStringGetTextDatum(state->done);
	values[3] = Int64GetDatum(state->done_id);
	values[4] = state->round ? CStringGetTextDatum(state->round) : (Datum) 0;
	nulls[4] = state->round ? ' ' : 'n';
	values[5] = Int64GetDatum(state->round_id);
	values[6] = Int64GetDatum(state->last_id);
	values[7] = state->batch ? CStringGetTextDatum(state->batch) : (Datum) 0;
	nulls[7] = state->batch ? ' ' : 'n';
	values[8] = Int64GetDatum(state->batch_to);
	values[9] = excluded_datum(state->excluded);
	values[10] = CStringGetTextDatum(what);
	values[11] = Int64GetDatum(sent);
	execute(psprintf("UPDATE %s.kafka_relay SET done = $3::pg_catalog.pg_snapshot, done_id = $4, "
					 "round = $5::pg_catalog.pg_snapshot, round_id = $6, last_id = $7, batch = $8, batch_to = $9, "
					 "excluded = $10, state = $11, sent = sent + $12, "
					 "last_success = CASE WHEN $12 > 0 THEN pg_catalog.clock_timestamp() ELSE last_success END "
					 "WHERE serverid = $1 AND mapping = $2", schema_name()),
			12, types, values, nulls, SPI_OK_UPDATE);
}

void
kafka_relay_note(const RelayState *state, const char *what, const char *error)
{
	Oid			types[] = {OIDOID, OIDOID, TEXTOID, TEXTOID};
	Datum		values[4];

	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	values[2] = CStringGetTextDatum(what);
	values[3] = error ? CStringGetTextDatum(error) : (Datum) 0;
	execute(psprintf("UPDATE %s.kafka_relay SET state = $3, last_error = coalesce($4, last_error), "
					 "last_error_at = CASE WHEN $4 IS NULL THEN last_error_at ELSE pg_catalog.clock_timestamp() END "
					 "WHERE serverid = $1 AND mapping = $2", schema_name()),
			4, types, values, error ? NULL : "   n", SPI_OK_UPDATE);
}

bool
kafka_relay_is_stopped(const RelayState *state)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[2];

	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	execute(psprintf("SELECT stopped FROM %s.kafka_relay WHERE serverid = $1 AND mapping = $2",
					 schema_name()), 2, types, values, NULL, SPI_OK_SELECT);
	return SPI_processed == 0 || DatumGetBool(column(0, 1, &(bool){false}));
}

void
kafka_relay_bury(const RelayState *state, const RelayRow *row, const char *reason)
{
	Oid			types[] = {OIDOID, OIDOID, INT8OID, TEXTOID};
	Datum		values[4];
	const char *schema = schema_name();
	StringInfoData sql;

	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	values[2] = Int64GetDatum(row->id);
	values[3] = CStringGetTextDatum(reason);
	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s.kafka_dead_letters (relay, topic, partition, \"timestamp\", "
					 "key, value, headers, error, role) "
					 "SELECT server, topic, partition, \"timestamp\", key, value, headers, $4, role FROM (", schema);
	for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
		appendStringInfo(&sql, "%sSELECT * FROM %s.kafka_outbox_%d", i > 0 ? " UNION ALL " : "", schema, i);
	appendStringInfoString(&sql, ") o WHERE serverid = $1 AND mapping = $2 AND id = $3");
	execute(sql.data, 4, types, values, NULL, SPI_OK_INSERT);
	execute(psprintf("UPDATE %s.kafka_relay SET refused = refused + 1 WHERE serverid = $1 AND mapping = $2",
					 schema), 2, types, values, NULL, SPI_OK_UPDATE);
}

/* True where a table has a row that has not been sent; nobody can add to it now. */
static bool
has_unsent_rows(const char *schema, int n)
{
	execute(psprintf("SELECT EXISTS (SELECT FROM %s.kafka_outbox_%d o WHERE NOT EXISTS "
					 "(SELECT FROM %s.kafka_relay r WHERE r.serverid = o.serverid AND r.mapping = o.mapping "
					 "AND pg_catalog.pg_visible_in_snapshot(o.xid, r.done)))", schema, n, schema),
			0, NULL, NULL, NULL, SPI_OK_SELECT);
	return DatumGetBool(column(0, 1, &(bool){false}));
}

static Oid
outbox_table(Oid schema, int n)
{
	return get_relname_relid(psprintf("kafka_outbox_%d", n), schema);
}

static int64
table_size(Oid schema, int n)
{
	return DatumGetInt64(DirectFunctionCall1(pg_table_size, ObjectIdGetDatum(outbox_table(schema, n))));
}

/*
 * A table that is not in use can be emptied when its lock is to be had at once: then no transaction
 * that has added to it is still open. To look at all its rows is cheap beside having sent them.
 */
void
kafka_relay_rotate(void)
{
	const char *schema = schema_name();
	Oid			schema_oid = KafkaOutboxSchema();
	int			current;
	int			empty = -1;
	bool		large;

	execute(psprintf("SELECT n FROM %s.kafka_outbox_current", schema), 0, NULL, NULL, NULL,
			SPI_OK_SELECT);
	current = DatumGetInt32(column(0, 1, &(bool){false}));
	large = table_size(schema_oid, current) / 1024 >= kafka_outbox_segment_size;
	for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
	{
		if (i == current)
			continue;
		if (table_size(schema_oid, i) > 0)
		{
			if (!ConditionalLockRelationOid(outbox_table(schema_oid, i), AccessExclusiveLock))
				continue;
			PushActiveSnapshot(GetLatestSnapshot());
			if (!has_unsent_rows(schema, i))
			{
				execute(psprintf("TRUNCATE %s.kafka_outbox_%d", schema, i), 0, NULL, NULL, NULL,
						SPI_OK_UTILITY);
				empty = i;
			}
			PopActiveSnapshot();
		}
		else
			empty = i;
	}
	if (large && empty >= 0)
		execute(psprintf("UPDATE %s.kafka_outbox_current SET n = %d WHERE n = %d", schema, empty,
						 current), 0, NULL, NULL, NULL, SPI_OK_UPDATE);
}
