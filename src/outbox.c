/*
 * outbox.c
 *		Messages stored in the transaction, for a relay to send once it has committed.
 *
 * A message is a row of one of three tables, to which rows are only ever added; a table whose rows
 * have all been sent is truncated by a relay (relay.c). Which one is in use is the same for all
 * (outbox_table.c). The lock that an insert takes lasts as long as the transaction, so a relay that
 * gets the exclusive lock of a table knows that none of its rows is still to be committed.
 *
 * A row has its transaction's id, taken before its own id is. Hence what a relay's snapshots need:
 * whatever a transaction that began later adds has an id above those given before the snapshot.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_sequence.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "compat.h"
#include "failure.h"
#include "header.h"
#include "module.h"
#include "outbox_private.h"
#include "setting.h"

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

/*
 * Now and then, since it takes a while. What was sent counts too, until its table is emptied: it
 * takes disk space all the same.
 */
static void
check_size(TimestampTz now)
{
	static TimestampTz looked_at = 0;
	int64		size = 0;

	if (looked_at != 0 && !TimestampDifferenceExceeds(looked_at, now, SIZE_INTERVAL) && now >= looked_at)
		return;
	for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
	{
		Oid			table = KafkaOutboxTable(i);

		/* Who empties a table looks at all its rows first, and is not waited for. */
		if (!ConditionalLockRelationOid(table, AccessShareLock))
			continue;
		size += DatumGetInt64(DirectFunctionCall1(pg_total_relation_size, ObjectIdGetDatum(table)));
		UnlockRelationOid(table, AccessShareLock);
	}
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

/*
 * A session that had ids in store would give them to messages when later ones have been sent, and a relay
 * would not look for them any more (kafka_relay_save).
 */
static int64
next_id(void)
{
	Oid			sequence = kafka_outbox_catalog()->sequence;
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	Form_pg_sequence form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	form = (Form_pg_sequence) GETSTRUCT(tuple);
	if (form->seqcache != 1 || form->seqincrement < 1 || form->seqcycle)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sequence \"%s\" does not number messages in their order", get_rel_name(sequence)),
				 errhint("ALTER SEQUENCE %s INCREMENT 1 NO CYCLE CACHE 1 makes it what it was.",
						 quote_qualified_identifier(get_namespace_name(get_rel_namespace(sequence)),
													get_rel_name(sequence)))));
	ReleaseSysCache(tuple);
	return nextval_internal(sequence, false);
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

	PreventCommandIfParallelMode("kafka_enqueue()");
	check_size(now);
	rel = table_open(kafka_outbox_target(), NoLock);

	/* In this order. */
	values[OUTBOX_XID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	id = next_id();

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
	kafka_outbox_insert(rel, values, nulls);
	table_close(rel, NoLock);
	KafkaOutboxWakeRelay(server->serverid, mapping);
	return id;
}

static void
outbox_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			kafka_outbox_prepare_wake_ups(event == XACT_EVENT_PRE_PREPARE);
			break;

		case XACT_EVENT_COMMIT:
			kafka_outbox_finish_wake_ups();
			kafka_outbox_forget_target();
			break;

		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			kafka_outbox_drop_wake_ups();
			kafka_outbox_forget_target();
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
		kafka_outbox_forget_target();
}

void
KafkaOutboxInit(void)
{
	RegisterXactCallback(outbox_xact_callback, NULL);
	RegisterSubXactCallback(outbox_subxact_callback, NULL);
}
