/*
 * outbox.c
 *		Messages stored in the transaction, for a relay to send once it has committed.
 *
 * A message is a row of one of three tables, to which rows are only ever added; a table whose rows
 * have all been sent is truncated by a relay (relay.c). kafka_outbox_current says which one is in
 * use. It is read as of now, whatever the transaction's snapshot, and again under the lock that an
 * insert takes, which lasts as long as the transaction. So a relay that gets the exclusive lock of
 * a table that is not in use knows that no row of it is still to come.
 *
 * A row has its transaction's id, taken before its own id is. Hence what a relay's snapshots need:
 * whatever a transaction that began later adds has an id above those given before the snapshot.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "compat.h"
#include "failure.h"
#include "header.h"
#include "module.h"
#include "outbox.h"
#include "setting.h"
#include "worker.h"

#define EXTENSION "kafka_fdw"
#define SIZE_INTERVAL 200		/* ms between looks at the outbox's size */

/* Columns of the outbox's tables. */
enum OutboxColumn
{
	OUTBOX_ID,
	OUTBOX_XID,
	OUTBOX_SERVERID,
	OUTBOX_MAPPING,
	OUTBOX_SERVER,
	OUTBOX_ROLE,
	OUTBOX_QUEUED_AT,
	OUTBOX_TOPIC,
	OUTBOX_PARTITION,
	OUTBOX_KEY,
	OUTBOX_VALUE,
	OUTBOX_HEADERS,
	OUTBOX_TIMESTAMP,
	OUTBOX_NCOLUMNS
};

/* Columns of kafka_relay that are looked at here. */
#define RELAY_SERVERID 1
#define RELAY_MAPPING 2
#define RELAY_PID 7
#define RELAY_STATE 8
#define RELAY_STOPPED 9

/* A relay that the transaction has given something to do. */
typedef struct WakeUp
{
	Oid			serverid;
	Oid			mapping;
	int			pid;			/* to wake at the commit; 0: none */
	BackgroundWorkerHandle *worker; /* started by us */
} WakeUp;

static List *wake_ups = NIL;	/* of WakeUp *, in the transaction's context */
static Oid	target_table = InvalidOid;	/* that the transaction inserts into, and has locked */
static Oid	target_sequence = InvalidOid;

Oid
KafkaOutboxSchema(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			schema = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(EXTENSION));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (!OidIsValid(schema))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist", EXTENSION)));
	return schema;
}

static Oid
find_relation(Oid schema, const char *name)
{
	Oid			relid = get_relname_relid(name, schema);

	if (!OidIsValid(relid))
		elog(ERROR, "relation \"%s\" of extension \"%s\" is missing", name, EXTENSION);
	return relid;
}

static Oid
outbox_table(Oid schema, int n)
{
	char		name[NAMEDATALEN];

	snprintf(name, sizeof(name), "kafka_outbox_%d", n);
	return find_relation(schema, name);
}

Oid
KafkaOutboxTable(int n)
{
	return outbox_table(KafkaOutboxSchema(), n);
}

/* The table in use, as of now. */
static int
current_table(Oid schema)
{
	Relation	rel = table_open(find_relation(schema, "kafka_outbox_current"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	HeapTuple	tuple = systable_getnext(scan);
	bool		isnull;
	int			n;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "relation \"%s\" is empty", RelationGetRelationName(rel));
	n = DatumGetInt32(heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return n;
}

/*
 * Find the table in use and lock it for inserting until the transaction ends. What was found is
 * good for as long, or until a subtransaction that has taken the lock is rolled back.
 */
static void
choose_table(void)
{
	Oid			schema = KafkaOutboxSchema();
	int			n = current_table(schema);

	for (;;)
	{
		Oid			table = outbox_table(schema, n);
		int			now;

		LockRelationOid(table, RowExclusiveLock);
		now = current_table(schema);
		if (now == n)
		{
			target_table = table;
			target_sequence = find_relation(schema, "kafka_outbox_id");
			return;
		}
		UnlockRelationOid(table, RowExclusiveLock);
		n = now;
	}
}

/*
 * Now and then, since it takes a while. What was sent counts too, until its table is emptied: it
 * takes disk space all the same.
 */
static void
check_size(TimestampTz now)
{
	static TimestampTz looked_at = 0;
	Oid			schema;
	int64		size = 0;

	if (looked_at != 0 && !TimestampDifferenceExceeds(looked_at, now, SIZE_INTERVAL) && now >= looked_at)
		return;
	schema = KafkaOutboxSchema();
	for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
		size += DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
												  ObjectIdGetDatum(outbox_table(schema, i))));
	if (size / 1024 <= kafka_outbox_max_size)
	{
		looked_at = now;
		return;
	}
	ereport(kafka_outbox_when_full,
			(errcode(ERRCODE_DISK_FULL),
			 errmsg("the outbox for Kafka is full"),
			 errdetail("It takes %lld kB; the setting \"%s\" is %d kB.", (long long) (size / 1024),
					   "kafka_fdw.outbox_max_size", kafka_outbox_max_size),
			 errhint("The view kafka_relays says what the relays are waiting for.")));
	looked_at = now;			/* a warning each time would be one for each row */
}

static Datum
bytea_datum(const char *data, Size len, bool *isnull)
{
	*isnull = data == NULL;
	return data ? PointerGetDatum(cstring_to_text_with_len(data, (int) len)) : (Datum) 0;
}

int64
KafkaOutboxAdd(const KafkaServer *server, const char *topic, const KafkaOutgoing *message)
{
	Oid			mapping = KafkaOptionMappingRole(server->serverid, server->userid);
	Relation	rel;
	Datum		values[OUTBOX_NCOLUMNS] = {0};
	bool		nulls[OUTBOX_NCOLUMNS] = {false};
	TimestampTz now = GetCurrentTimestamp();
	int64		id;

	check_size(now);
	if (!OidIsValid(target_table))
		choose_table();
	rel = table_open(target_table, NoLock);

	/* In this order. */
	values[OUTBOX_XID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	id = nextval_internal(target_sequence, false);

	values[OUTBOX_ID] = Int64GetDatum(id);
	values[OUTBOX_SERVERID] = ObjectIdGetDatum(server->serverid);
	values[OUTBOX_MAPPING] = ObjectIdGetDatum(mapping);
	values[OUTBOX_SERVER] = CStringGetTextDatum(server->name);
	values[OUTBOX_ROLE] = ObjectIdGetDatum(server->userid);
	values[OUTBOX_QUEUED_AT] = TimestampTzGetDatum(now);
	values[OUTBOX_TOPIC] = CStringGetTextDatum(topic);
	values[OUTBOX_PARTITION] = Int32GetDatum(message->partition);
	nulls[OUTBOX_PARTITION] = message->partition == KAFKA_ANY_PARTITION;
	values[OUTBOX_KEY] = bytea_datum(message->key, message->keylen, &nulls[OUTBOX_KEY]);
	values[OUTBOX_VALUE] = bytea_datum(message->value, message->valuelen, &nulls[OUTBOX_VALUE]);
	nulls[OUTBOX_HEADERS] = message->nheaders == 0;
	if (message->nheaders > 0)
	{
		KafkaFailure failure;

		KafkaFailureInit(&failure, false);
		(void) KafkaHeaderToArray(message->headers, message->nheaders,
								  TupleDescAttr(RelationGetDescr(rel), OUTBOX_HEADERS)->atttypid,
								  &failure, &values[OUTBOX_HEADERS]);
	}
	nulls[OUTBOX_TIMESTAMP] = message->timestamp == KAFKA_NO_TIMESTAMP;
	if (message->timestamp != KAFKA_NO_TIMESTAMP)
		values[OUTBOX_TIMESTAMP] =
			TimestampTzGetDatum(kafka_ms_to_timestamptz(message->timestamp));
	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
	table_close(rel, NoLock);
	KafkaOutboxWakeRelay(server->serverid, mapping);
	return id;
}

/* ------------------------------------------------------------------------
 * Waking the relays
 * ------------------------------------------------------------------------ */

void
KafkaOutboxWakeRelay(Oid serverid, Oid mapping)
{
	MemoryContext oldcontext;
	WakeUp	   *wake_up;
	ListCell   *lc;

	foreach(lc, wake_ups)
	{
		wake_up = (WakeUp *) lfirst(lc);
		if (wake_up->serverid == serverid && wake_up->mapping == mapping)
			return;
	}
	oldcontext = MemoryContextSwitchTo(TopTransactionContext);
	wake_up = palloc0(sizeof(WakeUp));
	wake_up->serverid = serverid;
	wake_up->mapping = mapping;
	wake_ups = lappend(wake_ups, wake_up);
	MemoryContextSwitchTo(oldcontext);
}

/* What kafka_relay says of a relay, as of now: its process, and whether it is to run at all. */
static int
relay_process(Oid serverid, Oid mapping, bool *wanted)
{
	Oid			relid = find_relation(KafkaOutboxSchema(), "kafka_relay");
	Relation	rel = table_open(relid, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	int			pid = 0;

	*wanted = true;
	ScanKeyInit(&keys[0], RELAY_SERVERID, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(serverid));
	ScanKeyInit(&keys[1], RELAY_MAPPING, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(mapping));
	scan = systable_beginscan(rel, kafka_primary_key_index(rel), true, snapshot, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;
		Datum		datum = heap_getattr(tuple, RELAY_PID, desc, &isnull);
		char	   *state;

		pid = isnull ? 0 : DatumGetInt32(datum);
		state = TextDatumGetCString(heap_getattr(tuple, RELAY_STATE, desc, &isnull));
		*wanted = !DatumGetBool(heap_getattr(tuple, RELAY_STOPPED, desc, &isnull)) &&
			strcmp(state, "fenced") != 0;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return pid;
}

/* Before the commit, while errors may be raised: find the relay, or start one. */
static void
prepare_wake_up(WakeUp *wake_up)
{
	LOCKTAG		tag;
	bool		wanted;
	MemoryContext oldcontext;

	wake_up->pid = relay_process(wake_up->serverid, wake_up->mapping, &wanted);
	if (!wanted || kafka_mode != KAFKA_MODE_ON)
		return;

	KafkaWorkerLockTag(&tag, wake_up->serverid, wake_up->mapping, KAFKA_RELAY_RUNNING);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return;					/* it runs */
	LockRelease(&tag, ExclusiveLock, false);

	/* Held until the transaction ends, so that not every session starts one. */
	KafkaWorkerLockTag(&tag, wake_up->serverid, wake_up->mapping, KAFKA_RELAY_STARTING);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return;
	wake_up->pid = 0;
	oldcontext = MemoryContextSwitchTo(TopTransactionContext);
	wake_up->worker = KafkaWorkerStartRelay(wake_up->serverid, wake_up->mapping);
	MemoryContextSwitchTo(oldcontext);
	if (wake_up->worker == NULL)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a relay for Kafka: no background worker slot is free"),
				 errdetail("The message is stored, and waits."),
				 errhint("Increase \"max_worker_processes\".")));
}

/* After the commit; must not throw. */
static void
finish_wake_up(WakeUp *wake_up)
{
	PGPROC	   *proc;
	pid_t		pid = wake_up->pid;

	if (wake_up->worker && GetBackgroundWorkerPid(wake_up->worker, &pid) != BGWH_STARTED)
		return;					/* it will look when it has started */
	if (pid != 0 && (proc = BackendPidGetProc(pid)) != NULL && proc->databaseId == MyDatabaseId)
		SetLatch(&proc->procLatch);
}

static void
outbox_xact_callback(XactEvent event, void *arg)
{
	ListCell   *lc;

	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			foreach(lc, wake_ups)
				prepare_wake_up((WakeUp *) lfirst(lc));
			break;

		case XACT_EVENT_COMMIT:
			foreach(lc, wake_ups)
				finish_wake_up((WakeUp *) lfirst(lc));
			wake_ups = NIL;
			target_table = InvalidOid;
			break;

		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			wake_ups = NIL;
			target_table = InvalidOid;
			break;

		default:
			break;
	}
}

/* The lock may go with the subtransaction; the relays are woken all the same, and look in vain. */
static void
outbox_subxact_callback(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
						void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		target_table = InvalidOid;
}

void
KafkaOutboxInit(void)
{
	RegisterXactCallback(outbox_xact_callback, NULL);
	RegisterSubXactCallback(outbox_subxact_callback, NULL);
}
