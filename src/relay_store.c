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
 *
 * "The ids that were given when a snapshot was taken" is to say those of all transactions that it does
 * not know of are above. A snapshot does not list every transaction that was running: those that
 * began after the last one that had ended then are all as good as later ones to it, and may have
 * taken ids before. See kafka_relay_save() for the way to know of an id that is below.
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

#define FETCH_ROWS 50			/* at once */

#define NOTHING_DONE "1:1:"		/* a snapshot that shows no transaction of ours */

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
	Datum		datum = kafka_access_column(0, number, &isnull);

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

bool
kafka_relay_is_copy(void)
{
	Oid			types[] = {INT8OID, OIDOID};
	Datum		values[2];

	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
	kafka_access_execute(psprintf("SELECT EXISTS (SELECT FROM %s.kafka_relay "
								  "WHERE system_identifier <> $1 OR databaseid <> $2)",
								  kafka_access_schema()),
						 2, types, values, NULL, SPI_OK_SELECT);
	return kafka_access_bool(1);
}

/* The row of kafka_relay, which says who we are. */
static void
load_relay(RelayState *state, MemoryContext context)
{
	Oid			types[] = {OIDOID, OIDOID, TEXTOID, INT4OID, INT8OID, OIDOID, BOOLOID, INT8OID};
	Datum		values[8];
	const char *schema = kafka_access_schema();
	bool		copy = kafka_relay_is_copy();

	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	values[2] = CStringGetTextDatum(state->server);
	values[3] = Int32GetDatum(MyProcPid);
	values[4] = Int64GetDatum((int64) GetSystemIdentifier());
	values[5] = ObjectIdGetDatum(MyDatabaseId);
	values[6] = BoolGetDatum(copy);
	values[7] = Int64GetDatum(state->segment);
	kafka_access_execute(psprintf("INSERT INTO %s.kafka_relay AS r (serverid, mapping, server, pid, segment, "
								  "system_identifier, databaseid, identity, state, stopped, all_stopped) "
								  "SELECT $1, $2, $3, $4, $8, $5, $6, pg_catalog.gen_random_uuid(), "
								  "CASE WHEN $7 THEN 'fenced' ELSE 'starting' END, o.stopped, o.stopped "
								  "FROM (SELECT coalesce(pg_catalog.bool_or(all_stopped), false) AS stopped "
								  "FROM %s.kafka_relay WHERE serverid = $1) o "
								  "ON CONFLICT (serverid, mapping) DO UPDATE SET server = $3, pid = $4, "
								  "segment = $8, state = CASE WHEN $7 OR r.state = 'fenced' THEN 'fenced' "
								  "WHEN r.pid IS DISTINCT FROM $4 THEN 'starting' ELSE r.state END "
								  "RETURNING identity::text, r.stopped, state = 'fenced'", schema, schema),
						 lengthof(types), types, values, NULL, SPI_OK_INSERT_RETURNING);
	state->identity = text_column(1, context);
	state->stopped = kafka_access_bool(2);
	state->fenced = kafka_access_bool(3);
}

/* Make the row of kafka_relay_progress where there is none. */
static void
insert_progress(Oid serverid, Oid mapping)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[2];

	values[0] = ObjectIdGetDatum(serverid);
	values[1] = ObjectIdGetDatum(mapping);
	kafka_access_execute(psprintf("INSERT INTO %s.kafka_relay_progress (serverid, mapping, done, done_id, "
								  "round_id, last_id) VALUES ($1, $2, '" NOTHING_DONE "', 0, 0, 0) "
								  "ON CONFLICT DO NOTHING", kafka_access_schema()),
						 2, types, values, NULL, SPI_OK_INSERT);
}

/* The row of kafka_relay_progress, which says how far we have come. */
static void
load_progress(RelayState *state, MemoryContext context)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[2];
	const char *schema = kafka_access_schema();
	MemoryContext oldcontext;
	bool		isnull;

	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	insert_progress(state->serverid, state->mapping);
	kafka_access_execute(psprintf("SELECT done::text, done_id, round::text, round_id, last_id, batch, "
								  "batch_to, batch_rows, excluded, ctid FROM %s.kafka_relay_progress "
								  "WHERE serverid = $1 AND mapping = $2", schema),
						 2, types, values, NULL, SPI_OK_SELECT);
	if (SPI_processed != 1)
		elog(ERROR, "the relay's progress is missing");
	state->done = text_column(1, context);
	state->done_id = int_column(2);
	state->round = text_column(3, context);
	state->round_id = int_column(4);
	state->last_id = int_column(5);
	state->batch = text_column(6, context);
	state->batch_to = int_column(7);
	state->batch_rows = int_column(8);
	oldcontext = MemoryContextSwitchTo(context);
	state->excluded = read_excluded(kafka_access_column(0, 9, &isnull));
	MemoryContextSwitchTo(oldcontext);
	state->ctid = *(ItemPointer) DatumGetPointer(kafka_access_column(0, 10, &isnull));
}

RelayState *
kafka_relay_load(Oid serverid, Oid mapping, int64 segment, MemoryContext context)
{
	RelayState *state = MemoryContextAllocZero(context, sizeof(RelayState));

	state->serverid = serverid;
	state->mapping = mapping;
	state->segment = segment;
	state->server = MemoryContextStrdup(context, GetForeignServer(serverid)->servername);
	state->known_id = kafka_relay_last_given_id();
	load_relay(state, context);
	load_progress(state, context);
	return state;
}

void
kafka_relay_insert_stopped(Oid serverid, Oid mapping)
{
	Oid			types[] = {OIDOID, OIDOID, TEXTOID, INT8OID, OIDOID};
	Datum		values[5];

	values[0] = ObjectIdGetDatum(serverid);
	values[1] = ObjectIdGetDatum(mapping);
	values[2] = CStringGetTextDatum(GetForeignServer(serverid)->servername);
	values[3] = Int64GetDatum((int64) GetSystemIdentifier());
	values[4] = ObjectIdGetDatum(MyDatabaseId);
	kafka_access_execute(psprintf("INSERT INTO %s.kafka_relay (serverid, mapping, server, "
								  "system_identifier, databaseid, identity, state, stopped, all_stopped) "
								  "VALUES ($1, $2, $3, $4, $5, pg_catalog.gen_random_uuid(), 'starting', true, true) "
								  "ON CONFLICT (serverid, mapping) DO UPDATE SET stopped = true, all_stopped = true",
								  kafka_access_schema()),
						 5, types, values, NULL, SPI_OK_INSERT);
	insert_progress(serverid, mapping);
}

int64
kafka_relay_last_given_id(void)
{
	kafka_access_execute(psprintf("SELECT coalesce(pg_catalog.pg_sequence_last_value(%s), 0)",
								  quote_literal_cstr(psprintf("%s.kafka_outbox_id",
															  kafka_access_schema()))),
						 0, NULL, NULL, NULL, SPI_OK_SELECT);
	return int_column(1);
}

/*
 * An id that was given again would be below those that are not looked at any more, and its row lost. So where
 * the sequence was set back they all are, this once.
 */
void
kafka_relay_begin_round(RelayState *state, MemoryContext context)
{
	int64		last;

	PushActiveSnapshot(GetLatestSnapshot());
	kafka_access_execute("SELECT pg_catalog.pg_current_snapshot()::text", 0, NULL, NULL, NULL,
						 SPI_OK_SELECT);
	PopActiveSnapshot();
	state->round = text_column(1, context);
	state->last_id = 0;
	last = kafka_relay_last_given_id();
	if (last < state->known_id || last < state->done_id)
	{
		ereport(LOG,
				(errmsg("the numbers of the outbox's messages were set back"),
				 errdetail("The last number is %lld, after %lld.", (long long) last,
						   (long long) Max(state->known_id, state->done_id)),
				 errhint("Nobody should change the sequence \"%s\".", "kafka_outbox_id")));
		state->done_id = 0;
		state->known_id = 0;
	}
	state->round_id = state->known_id;
}

/*
 * The statement that finds a round's rows in the three tables. Each of its parts reads an index in
 * the order of the ids, and of the transactions that "done" saw running only those that the round
 * shows, so that what is not committed yet is not looked at.
 */
static char *
fetch_statement(void)
{
	const char *schema = kafka_access_schema();
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
						 "AND pg_catalog.pg_visible_in_snapshot(xid, $5) "
						 "ORDER BY serverid, mapping, id LIMIT $8)",
						 i > 0 ? " UNION ALL " : "", columns, schema, i);
		appendStringInfo(&sql, " UNION ALL (SELECT o.* FROM pg_catalog.pg_snapshot_xip($3) x, "
						 "LATERAL (SELECT %s FROM %s.kafka_outbox_%d "
						 "WHERE xid = x AND id > $6 AND id <= $7 "
						 "AND serverid = $1 AND mapping = $2 ORDER BY xid, id LIMIT $8) o "
						 "WHERE pg_catalog.pg_visible_in_snapshot(x, $5))",
						 columns, schema, i);
	}
	appendStringInfoString(&sql, " ORDER BY id LIMIT $8");
	return sql.data;
}

/* That statement's plan, made anew where the extension's schema has another name now. */
static SPIPlanPtr
fetch_plan(Oid *types)
{
	static SPIPlanPtr plan = NULL;
	static char plan_schema[NAMEDATALEN];
	const char *schema = get_namespace_name(KafkaOutboxSchema());
	SPIPlanPtr	fresh;

	if (plan && strcmp(plan_schema, schema) == 0)
		return plan;
	fresh = SPI_prepare(fetch_statement(), 8, types);
	if (fresh == NULL || SPI_keepplan(fresh) != 0)
		elog(ERROR, "could not prepare a relay's statement");
	if (plan)
		SPI_freeplan(plan);
	plan = fresh;
	strlcpy(plan_schema, schema, sizeof(plan_schema));
	return plan;
}

static RelayRow *
make_row(int i)
{
	RelayRow   *row = palloc0(sizeof(RelayRow));
	bool		isnull;
	Datum		datum;

	row->id = DatumGetInt64(kafka_access_column(i, 1, &isnull));
	row->role = DatumGetObjectId(kafka_access_column(i, 2, &isnull));
	row->topic = TextDatumGetCString(kafka_access_column(i, 3, &isnull));
	datum = kafka_access_column(i, 4, &isnull);
	row->message.partition = isnull ? KAFKA_ANY_PARTITION : DatumGetInt32(datum);
	row->message.key = kafka_access_bytes(i, 5, &row->message.keylen);
	row->message.value = kafka_access_bytes(i, 6, &row->message.valuelen);
	datum = kafka_access_column(i, 7, &isnull);
	if (!isnull)
		row->message.nheaders = KafkaHeaderFromArray(PointerGetDatum(PG_DETOAST_DATUM_COPY(datum)),
													 &row->message.headers);
	datum = kafka_access_column(i, 8, &isnull);
	row->message.timestamp = isnull ? KAFKA_NO_TIMESTAMP
		: kafka_timestamptz_to_ms(DatumGetTimestampTz(datum));
	return row;
}

/* What a message takes in memory. */
static Size
row_size(const RelayRow *row)
{
	Size		size = sizeof(RelayRow) + row->message.keylen + row->message.valuelen;

	for (int i = 0; i < row->message.nheaders; i++)
		size += strlen(row->message.headers[i].name) + row->message.headers[i].len;
	return size;
}

List *
kafka_relay_fetch(const RelayState *state, int64 upto, int max_rows, Size max_bytes,
				  MemoryContext context)
{
	Oid			types[8];
	int32		typmod;
	Datum		values[8];
	Portal		portal;
	List	   *rows = NIL;
	Size		bytes = 0;
	bool		more = true;

	kafka_parse_type("pg_catalog.pg_snapshot", &types[2], &typmod);
	types[0] = types[1] = OIDOID;
	types[3] = types[5] = types[6] = types[7] = INT8OID;
	types[4] = types[2];
	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	values[2] = DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(state->done));
	values[3] = Int64GetDatum(state->done_id);
	values[4] = DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(state->round));
	values[5] = Int64GetDatum(state->last_id);
	values[6] = Int64GetDatum(upto > 0 ? upto : PG_INT64_MAX);
	values[7] = Int64GetDatum(upto > 0 ? PG_INT32_MAX : max_rows);

	PushActiveSnapshot(GetLatestSnapshot());
	portal = SPI_cursor_open(NULL, fetch_plan(types), values, NULL, true);
	while (more && (upto > 0 || bytes < max_bytes))
	{
		MemoryContext oldcontext;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		more = SPI_processed == FETCH_ROWS;
		oldcontext = MemoryContextSwitchTo(context);

		/*
		 * Large values are out of line until make_row() fetches them: those of a later batch stay
		 * there.
		 */
		for (uint64 i = 0; i < SPI_processed && (upto > 0 || bytes < max_bytes); i++)
		{
			RelayRow   *row = make_row((int) i);

			bytes += row_size(row);
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

/*
 * Where the row is is known, so that no index leads by way of its earlier versions, which an old
 * snapshot may keep.
 *
 * A transaction takes its number before it gets an id (outbox.c). So an id that was given before
 * ours takes its own belongs to an older one; and a snapshot that is taken when ours has ended
 * knows of all older ones, as committed or as running.
 */
void
kafka_relay_save(RelayState *state, int64 sent, int64 refused)
{
	Oid			types[] = {OIDOID, OIDOID, TEXTOID, INT8OID, TEXTOID, INT8OID, INT8OID, TEXTOID,
	INT8OID, INT8OID, INT8ARRAYOID, INT8OID, INT8OID, TIDOID};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types) + 1] = "              ";
	char	   *sql = psprintf("UPDATE %s.kafka_relay_progress SET done = $3::pg_catalog.pg_snapshot, "
							   "done_id = $4, round = $5::pg_catalog.pg_snapshot, round_id = $6, "
							   "last_id = $7, batch = $8, batch_to = $9, batch_rows = $10, "
							   "excluded = $11, sent = sent + $12, refused = refused + $13, "
							   "last_success = CASE WHEN $12 > 0 "
							   "THEN pg_catalog.clock_timestamp() ELSE last_success END "
							   "WHERE serverid = $1 AND mapping = $2", kafka_access_schema());
	int64		known_id = 0;
	bool		isnull;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		known_id = kafka_relay_last_given_id();
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
	values[9] = Int64GetDatum(state->batch_rows);
	values[10] = excluded_datum(state->excluded);
	values[11] = Int64GetDatum(sent);
	values[12] = Int64GetDatum(refused);
	values[13] = PointerGetDatum(&state->ctid);
	kafka_access_execute(psprintf("%s AND ctid = $14 RETURNING ctid", sql), 14, types, values, nulls,
						 SPI_OK_UPDATE_RETURNING);
	/* Somebody has vacuumed the table in full, or emptied it (relay_rotate.c). */
	if (SPI_processed == 0)
		kafka_access_execute(psprintf("%s RETURNING ctid", sql), 13, types, values, nulls,
							 SPI_OK_UPDATE_RETURNING);
	if (SPI_processed == 0)
		elog(ERROR, "the relay's progress is missing");
	state->ctid = *(ItemPointer) DatumGetPointer(kafka_access_column(0, 1, &isnull));
	if (known_id > 0)
		state->known_id = known_id;
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
	kafka_access_execute(psprintf("UPDATE %s.kafka_relay SET state = $3, "
								  "last_error = coalesce($4, last_error), last_error_at = CASE "
								  "WHEN $4 IS NULL THEN last_error_at ELSE pg_catalog.clock_timestamp() END "
								  "WHERE serverid = $1 AND mapping = $2", kafka_access_schema()),
						 4, types, values, error ? NULL : "   n", SPI_OK_UPDATE);
}

void
kafka_relay_rename(RelayState *state, const char *server)
{
	Oid			types[] = {OIDOID, OIDOID, TEXTOID};
	Datum		values[3];

	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	values[2] = CStringGetTextDatum(server);
	kafka_access_execute(psprintf("UPDATE %s.kafka_relay SET server = $3 "
								  "WHERE serverid = $1 AND mapping = $2", kafka_access_schema()),
						 3, types, values, NULL, SPI_OK_UPDATE);
	state->server = MemoryContextStrdup(GetMemoryChunkContext(state), server);
}

void
kafka_relay_stop_itself(const RelayState *state)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[2];

	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	kafka_access_execute(psprintf("UPDATE %s.kafka_relay SET stopped = true "
								  "WHERE serverid = $1 AND mapping = $2", kafka_access_schema()),
						 2, types, values, NULL, SPI_OK_UPDATE);
}

void
kafka_relay_look(RelayState *state, bool wait)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[2];

	values[0] = ObjectIdGetDatum(state->serverid);
	values[1] = ObjectIdGetDatum(state->mapping);
	kafka_access_execute(psprintf("SELECT stopped, state = 'fenced' FROM %s.kafka_relay "
								  "WHERE serverid = $1 AND mapping = $2%s",
								  kafka_access_schema(), wait ? " FOR UPDATE" : ""),
						 2, types, values, NULL, SPI_OK_SELECT);
	state->stopped = SPI_processed == 0 || kafka_access_bool(1);
	state->fenced = SPI_processed > 0 && kafka_access_bool(2);
}

void
kafka_relay_bury(const RelayState *state, const RelayRow *row, const char *reason)
{
	Oid			types[] = {OIDOID, OIDOID, INT8OID, TEXTOID};
	Datum		values[4];
	const char *schema = kafka_access_schema();
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
	kafka_access_execute(sql.data, 4, types, values, NULL, SPI_OK_INSERT);
}
