/*
 * relay_rotate.c
 *		Emptying the outbox's tables.
 *
 * Rows are never deleted: what was read once stays in the way of every later reader for as long as any
 * old snapshot is open. A table that is not in use and whose rows are all sent is truncated, which no
 * snapshot hinders.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "outbox.h"
#include "relay_private.h"
#include "setting.h"

#define MAX_PROGRESS_SIZE (4 * 1024 * 1024)

static int64
table_size(Oid table)
{
	return DatumGetInt64(DirectFunctionCall1(pg_table_size, ObjectIdGetDatum(table)));
}

/* True where a table has no block: its TOAST table's index always has one. */
static bool
is_empty(Oid table)
{
	return DatumGetInt64(DirectFunctionCall2(pg_relation_size, ObjectIdGetDatum(table),
											 CStringGetTextDatum("main"))) == 0;
}

/* The rows of a table that were not sent, o, as the view kafka_outbox_rows has those of all. */
static char *
unsent_rows(int n)
{
	const char *schema = kafka_access_schema();

	return psprintf("%s.kafka_outbox_%d o WHERE NOT EXISTS (SELECT FROM %s.kafka_relay_progress p "
					"WHERE p.serverid = o.serverid AND p.mapping = o.mapping "
					"AND " KAFKA_RELAY_WAS_SENT ")", schema, n, schema);
}

/* True where the row of each relay that came last was sent: worth a look at all of them. */
static bool
looks_sent(int n)
{
	const char *schema = kafka_access_schema();

	kafka_access_execute(psprintf("SELECT NOT EXISTS (SELECT FROM %s.kafka_relay_progress p, "
								  "LATERAL (SELECT id, xid FROM %s.kafka_outbox_%d "
								  "WHERE serverid = p.serverid AND mapping = p.mapping "
								  "ORDER BY id DESC LIMIT 1) o "
								  "WHERE EXISTS (SELECT FROM pg_catalog.pg_foreign_server s "
								  "WHERE s.oid = p.serverid) AND NOT " KAFKA_RELAY_WAS_SENT ")",
								  schema, schema, n),
						 0, NULL, NULL, NULL, SPI_OK_SELECT);
	return kafka_access_bool(1);
}

/* What waits for a server that was dropped can only be kept for its owner. */
static void
bury_orphans(int n)
{
	kafka_access_execute(psprintf("INSERT INTO %s.kafka_dead_letters (relay, topic, partition, "
								  "\"timestamp\", key, value, headers, error, role) "
								  "SELECT server, topic, partition, \"timestamp\", key, value, headers, "
								  "'the server was dropped before the message was sent', role "
								  "FROM %s AND NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server s "
								  "WHERE s.oid = o.serverid)", kafka_access_schema(), unsent_rows(n)),
						 0, NULL, NULL, NULL, SPI_OK_INSERT);
}

/* True where a row has not been sent, and can be. Nobody can add to the table now. */
static bool
has_unsent_rows(int n)
{
	kafka_access_execute(psprintf("SELECT EXISTS (SELECT FROM %s AND EXISTS (SELECT FROM "
								  "pg_catalog.pg_foreign_server s WHERE s.oid = o.serverid))",
								  unsent_rows(n)),
						 0, NULL, NULL, NULL, SPI_OK_SELECT);
	return kafka_access_bool(1);
}

/*
 * Empty a table that is not in use. It can be where its lock is to be had at once: then no
 * transaction that has added to it is still open, nor does anybody read it.
 */
static bool
try_to_empty(int n)
{
	bool		emptied = false;

	if (!looks_sent(n) || !ConditionalLockRelationOid(KafkaOutboxTable(n), AccessExclusiveLock))
		return false;
	PushActiveSnapshot(GetLatestSnapshot());
	if (!has_unsent_rows(n))
	{
		bury_orphans(n);
		kafka_access_execute(psprintf("TRUNCATE %s.kafka_outbox_%d", kafka_access_schema(), n), 0, NULL,
							 NULL, NULL, SPI_OK_UTILITY);
		emptied = true;
	}
	PopActiveSnapshot();
	return emptied;
}

/* Forget the relays of servers and user mappings that were dropped, once no row says that they were there. */
static void
forget_dropped(void)
{
	static const char *const tables[] = {"kafka_relay", "kafka_relay_progress"};
	const char *schema = kafka_access_schema();
	StringInfoData condition;

	initStringInfo(&condition);
	appendStringInfoString(&condition, "(NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server s "
						   "WHERE s.oid = r.serverid) "
						   "OR r.mapping::pg_catalog.oid <> 0 AND NOT EXISTS "
						   "(SELECT FROM pg_catalog.pg_user_mapping m WHERE m.umserver = r.serverid "
						   "AND m.umuser = r.mapping::pg_catalog.oid))");
	for (int n = 0; n < KAFKA_OUTBOX_TABLES; n++)
		appendStringInfo(&condition, " AND NOT EXISTS (SELECT FROM %s.kafka_outbox_%d o "
						 "WHERE o.serverid = r.serverid AND o.mapping = r.mapping)", schema, n);
	for (int i = 0; i < lengthof(tables); i++)
		kafka_access_execute(psprintf("DELETE FROM %s.%s r WHERE %s", schema, tables[i], condition.data), 0,
							 NULL, NULL, NULL, SPI_OK_DELETE);
}

/*
 * Each batch leaves a version of a row in kafka_relay_progress, which VACUUM removes, unless an old
 * snapshot is open. The table can be written anew all the same: its rows are few.
 */
static void
shrink_progress(void)
{
	Oid			table = get_relname_relid("kafka_relay_progress", KafkaOutboxSchema());
	const char *schema = kafka_access_schema();
	Datum		rows;
	bool		isnull;

	if (table_size(table) < MAX_PROGRESS_SIZE ||
		!ConditionalLockRelationOid(table, AccessExclusiveLock))
		return;
	PushActiveSnapshot(GetLatestSnapshot());
	kafka_access_execute(psprintf("SELECT pg_catalog.array_agg(p) FROM %s.kafka_relay_progress p", schema),
						 0, NULL, NULL, NULL, SPI_OK_SELECT);
	rows = kafka_access_column(0, 1, &isnull);
	if (!isnull)
	{
		Oid			type = get_array_type(get_rel_type_id(table));

		kafka_access_execute(psprintf("TRUNCATE %s.kafka_relay_progress", schema), 0, NULL, NULL, NULL,
							 SPI_OK_UTILITY);
		kafka_access_execute(psprintf("INSERT INTO %s.kafka_relay_progress "
									  "SELECT (p).* FROM pg_catalog.unnest($1) p", schema),
							 1, &type, &rows, NULL, SPI_OK_INSERT);
	}
	PopActiveSnapshot();
}

/*
 * One relay at a time: two that have each locked a table could wait for one another. Who comes second
 * looks again later.
 */
bool
kafka_relay_rotate(void)
{
	const char *schema = kafka_access_schema();
	int			current;
	int			empty = -1;
	bool		more = false;
	bool		isnull;

	if (!ConditionalLockRelationOid(get_relname_relid("kafka_outbox_current", KafkaOutboxSchema()),
									ShareUpdateExclusiveLock))
		return true;
	kafka_access_execute(psprintf("SELECT n FROM %s.kafka_outbox_current", schema), 0, NULL, NULL, NULL,
						 SPI_OK_SELECT);
	current = DatumGetInt32(kafka_access_column(0, 1, &isnull));
	for (int n = 0; n < KAFKA_OUTBOX_TABLES; n++)
	{
		if (n == current)
			continue;
		if (is_empty(KafkaOutboxTable(n)) || try_to_empty(n))
			empty = n;
		else
			more = true;
	}
	if (empty >= 0 && table_size(KafkaOutboxTable(current)) / 1024 >= kafka_outbox_segment_size)
	{
		kafka_access_execute(psprintf("UPDATE %s.kafka_outbox_current SET n = %d WHERE n = %d", schema,
									  empty, current),
							 0, NULL, NULL, NULL, SPI_OK_UPDATE);
		KafkaOutboxChanged();
		more = true;
	}
	forget_dropped();
	shrink_progress();
	return more;
}
