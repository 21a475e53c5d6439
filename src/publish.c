/*
 * publish.c
 *		The trigger kafka_publish(): a change of a row, or a TRUNCATE, becomes messages.
 *
 * What a trigger publishes, where and how, is found out once and kept for the session, by the
 * trigger's OID; a change of the table, or of anything that the choice of the server or the right to
 * use it rests on, has it found out again. A row then costs the JSON that is made of it.
 *
 * The trigger acts for the table's owner, without becoming it: the server and the user mapping are
 * the owner's, and who writes to the table needs nothing. Of a partition the owner and the name that
 * count are those of the partitioned table whose trigger it is, so that all rows of a table go the
 * same way.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "header.h"
#include "outbox.h"
#include "pending.h"
#include "producer.h"
#include "publish_private.h"
#include "scan.h"
#include "setting.h"

PG_FUNCTION_INFO_V1(kafka_publish);

static HTAB *publications = NULL;	/* of KafkaPublication, by trigger */
static uint32 nchanges = 0;		/* of what they rest on */

/* ------------------------------------------------------------------------
 * What a trigger publishes
 * ------------------------------------------------------------------------ */

/* A table has changed; or any may have. */
static void
forget_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	KafkaPublication *publication;

	nchanges++;
	hash_seq_init(&status, publications);
	while ((publication = hash_seq_search(&status)) != NULL)
	{
		if (!OidIsValid(relid) || relid == publication->relid || relid == publication->published)
			publication->valid = false;
	}
}

/* Something changed that a server, the right to use it, or a name may rest on. */
static void
forget_all(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_relation(arg, InvalidOid);
}

static void
make_cache(void)
{
	static const int caches[] = {
		FOREIGNSERVEROID, FOREIGNDATAWRAPPEROID, USERMAPPINGOID, AUTHOID, AUTHMEMROLEMEM,
		DATABASEOID, NAMESPACEOID
	};
	HASHCTL		info;

	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(Oid);
	info.entrysize = sizeof(KafkaPublication);
	publications = hash_create("kafka_publish triggers", 16, &info, HASH_ELEM | HASH_BLOBS);
	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], forget_all, (Datum) 0);
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
}

/* The table on which a trigger was made: a partition's trigger is a copy of its parent's. */
static Oid
find_published(Oid triggerid)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	Oid			result = InvalidOid;

	while (OidIsValid(triggerid))
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(triggerid));
		scan = systable_beginscan(rel, TriggerOidIndexId, true, NULL, 1, &key);
		tuple = systable_getnext(scan);
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "could not find trigger %u", triggerid);
		result = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
		triggerid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid;
		systable_endscan(scan);
	}
	table_close(rel, AccessShareLock);
	return result;
}

/* Drop what is out of date, which may be of triggers that are no more. */
static void
sweep_cache(void)
{
	HASH_SEQ_STATUS status;
	KafkaPublication *publication;

	hash_seq_init(&status, publications);
	while ((publication = hash_seq_search(&status)) != NULL)
	{
		if (publication->valid)
			continue;
		if (publication->context)
			MemoryContextDelete(publication->context);
		hash_search(publications, &publication->triggerid, HASH_REMOVE, NULL);
	}
}

/* A trigger's publication, which is valid until the next call. */
static KafkaPublication *
get_publication(Relation rel, Oid triggerid, int nargs, char **args)
{
	KafkaPublication *publication;
	MemoryContext oldcontext;
	uint32		before;

	if (publications == NULL)
		make_cache();
	publication = hash_search(publications, &triggerid, HASH_FIND, NULL);
	if (publication && publication->valid)
		return publication;

	sweep_cache();
	publication = hash_search(publications, &triggerid, HASH_ENTER, NULL);
	memset(publication, 0, sizeof(KafkaPublication));
	publication->triggerid = triggerid;
	publication->context = AllocSetContextCreate(TopMemoryContext, "kafka_publish trigger",
												 ALLOCSET_SMALL_SIZES);
	oldcontext = MemoryContextSwitchTo(publication->context);
	before = nchanges;
	kafka_publish_read_arguments(nargs, args, &publication->arguments);
	kafka_publish_resolve(publication, rel, find_published(triggerid));
	MemoryContextSwitchTo(oldcontext);
	publication->valid = nchanges == before;
	return publication;
}

/* ------------------------------------------------------------------------
 * The messages of a change
 * ------------------------------------------------------------------------ */

static int32
fetch_partition(const KafkaPublication *publication, const PublishRow *row)
{
	const PublishArguments *arguments = &publication->arguments;
	int64		partition;
	Datum		value;

	if (publication->partition_attr < 0)
		return arguments->partition;
	if (row == NULL || row->nulls[publication->partition_attr])
		return KAFKA_ANY_PARTITION;
	value = row->values[publication->partition_attr];
	partition = publication->partition_type == INT8OID ? DatumGetInt64(value)
		: publication->partition_type == INT4OID ? DatumGetInt32(value) : DatumGetInt16(value);
	if (partition < 0 || partition > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("partition %lld is out of range", (long long) partition),
				 errdetail("Column \"%s\" gives it.", arguments->partition_column)));
	return (int32) partition;
}

/* The headers of a row, which belong to this event alone. */
static void
fetch_headers(const KafkaPublication *publication, const PublishRow *row, KafkaOutgoing *message)
{
	int			attr = publication->headers_attr;

	message->headers = publication->headers;
	message->nheaders = publication->nheaders;
	if (attr < 0 || row == NULL || row->nulls[attr])
		return;
	message->nheaders = publication->headers_type == JSONBOID
		? KafkaHeaderFromJsonb(row->values[attr], &message->headers)
		: KafkaHeaderFromArray(row->values[attr], &message->headers);
}

/* Debezium's header at both events of a changed key: the key that the other one has. */
static void
add_other_key(KafkaOutgoing *message, const char *name, const KafkaOutgoing *other)
{
	KafkaHeader *headers = palloc((message->nheaders + 1) * sizeof(KafkaHeader));

	if (message->nheaders > 0)
		memcpy(headers, message->headers, message->nheaders * sizeof(KafkaHeader));
	headers[message->nheaders].name = name;
	headers[message->nheaders].value = other->key;
	headers[message->nheaders].len = other->keylen;
	message->headers = headers;
	message->nheaders++;
}

/* A message without a value, about a row, or about none. */
static void
begin_message(KafkaPublication *publication, const PublishRow *row, KafkaOutgoing *message)
{
	memset(message, 0, sizeof(KafkaOutgoing));
	message->timestamp = KAFKA_NO_TIMESTAMP;
	message->partition = fetch_partition(publication, row);
	fetch_headers(publication, row, message);
	if (row != NULL)
		kafka_publish_key(publication, row, message);
}

/* A delete, and the tombstone; in format row the tombstone is all there is of it. */
static int
delete_messages(KafkaPublication *publication, const PublishRow *row, KafkaOutgoing *messages)
{
	int			n = 0;

	begin_message(publication, row, &messages[n++]);
	if (publication->arguments.format == PUBLISH_ROW)
		return n;
	kafka_publish_value(publication, PUBLISH_DELETE, row, NULL, &messages[0]);
	if (publication->arguments.tombstone)
	{
		messages[n] = messages[0];
		messages[n].value = NULL;
		messages[n++].valuelen = 0;
	}
	return n;
}

int
kafka_publish_messages(KafkaPublication *publication, PublishOp op, const PublishRow *before,
					   const PublishRow *after, KafkaOutgoing *messages)
{
	int			n = 0;

	if (op == PUBLISH_UPDATE && !kafka_publish_same_key(publication, before, after))
	{
		KafkaOutgoing *created;

		n = delete_messages(publication, before, messages);
		created = &messages[n++];
		begin_message(publication, after, created);
		kafka_publish_value(publication, PUBLISH_CREATE, NULL, after, created);
		if (publication->arguments.format == PUBLISH_DEBEZIUM)
		{
			add_other_key(&messages[0], "__debezium.newkey", created);
			add_other_key(created, "__debezium.oldkey", &messages[0]);
		}
		return n;
	}
	if (op == PUBLISH_DELETE)
		return delete_messages(publication, before, messages);

	begin_message(publication, after, &messages[0]);
	kafka_publish_value(publication, op, before, after, &messages[0]);
	return 1;
}

/* ------------------------------------------------------------------------
 * The trigger
 * ------------------------------------------------------------------------ */

void
kafka_publish_deliver(const KafkaPublication *publication, KafkaBatch *batch,
					  const KafkaOutgoing *messages, int nmessages)
{
	const KafkaServer *server = publication->server;
	const char *topic = publication->arguments.topic;
	KafkaBatch *own = NULL;

	switch (publication->arguments.delivery)
	{
		case KAFKA_DELIVERY_OUTBOX:
			for (int i = 0; i < nmessages; i++)
				(void) KafkaOutboxAdd(server, topic, &messages[i]);
			break;

		case KAFKA_DELIVERY_COMMIT:
			for (int i = 0; i < nmessages; i++)
				KafkaPendingAdd(server, topic, &messages[i]);
			break;

		case KAFKA_DELIVERY_IMMEDIATE:
			if (batch == NULL)
			{
				KafkaScanFixEnds(topic);
				batch = own = KafkaBatchBegin(server, topic);
			}
			for (int i = 0; i < nmessages; i++)
				KafkaBatchAdd(batch, &messages[i]);
			if (own)
				KafkaBatchFinish(own);
			break;
	}
}

pg_noreturn static void
report_protocol(const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("%s() %s", PUBLISH_FUNCTION, problem),
			 hint ? errhint("%s", hint) : 0));
}

/* How the trigger has to be declared. */
static PublishOp
check_protocol(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TriggerEvent event;

	if (!CALLED_AS_TRIGGER(fcinfo))
		report_protocol("can only be called as a trigger", NULL);
	event = trigger->tg_event;
	/* What another trigger, or a constraint, does to the row comes later. */
	if (!TRIGGER_FIRED_AFTER(event))
		report_protocol("has to be fired after the change", "Declare the trigger AFTER.");
	if (TRIGGER_FIRED_BY_TRUNCATE(event))
		return PUBLISH_TRUNCATE;
	if (!TRIGGER_FIRED_FOR_ROW(event))
		report_protocol("has to be fired for each row",
						"Declare the trigger FOR EACH ROW; only that for TRUNCATE is FOR EACH "
						"STATEMENT.");
	return TRIGGER_FIRED_BY_INSERT(event) ? PUBLISH_CREATE
		: TRIGGER_FIRED_BY_UPDATE(event) ? PUBLISH_UPDATE : PUBLISH_DELETE;
}

PublishRow
kafka_publish_row(const KafkaPublication *publication, TupleTableSlot *slot)
{
	PublishRow	row;

	slot_getsomeattrs(slot, publication->natts);
	row.values = slot->tts_values;
	row.nulls = slot->tts_isnull;
	return row;
}

/* The reader of a topic of plain rows could not be told, and would go on with rows that are gone. */
static void
check_truncate(const KafkaPublication *publication)
{
	if (publication->arguments.format == PUBLISH_ROW)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot truncate table \"%s\", whose rows are published to topic \"%s\"",
						publication->relname, publication->arguments.topic),
				 errdetail("In format \"row\" there is no message for it."),
				 errhint("DELETE the rows, or drop the trigger for TRUNCATE.")));
}

typedef struct PublishContext
{
	Relation	rel;
	const char *topic;			/* NULL: not known */
} PublishContext;

static void
publish_context(void *arg)
{
	PublishContext *context = arg;

	if (context->topic)
		errcontext("publishing a change of table \"%s\" to topic \"%s\"",
				   RelationGetRelationName(context->rel), context->topic);
	else
		errcontext("publishing a change of table \"%s\"", RelationGetRelationName(context->rel));
}

Datum
kafka_publish(PG_FUNCTION_ARGS)
{
	PublishOp	op = check_protocol(fcinfo);
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Trigger    *definition = trigger->tg_trigger;
	PublishContext context = {trigger->tg_relation, NULL};
	ErrorContextCallback callback = {error_context_stack, publish_context, &context};
	KafkaOutgoing messages[PUBLISH_MAX_MESSAGES];
	KafkaPublication *publication;
	MemoryContext event_context;
	MemoryContext oldcontext;
	PublishRow	before = {NULL, NULL};
	PublishRow	after = {NULL, NULL};
	int			nmessages;

	error_context_stack = &callback;
	KafkaSettingCheckWrite(PUBLISH_FUNCTION "()");
	publication = get_publication(trigger->tg_relation, definition->tgoid,
								  definition->tgnargs, definition->tgargs);
	context.topic = publication->arguments.topic;

	/* A batch hangs on it, so that an error breaks that off. */
	event_context = AllocSetContextCreate(CurrentMemoryContext, "kafka_publish",
										  ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(event_context);
	if (op == PUBLISH_TRUNCATE)
		check_truncate(publication);
	else if (op == PUBLISH_CREATE)
		after = kafka_publish_row(publication, trigger->tg_trigslot);
	else
		before = kafka_publish_row(publication, trigger->tg_trigslot);
	if (op == PUBLISH_UPDATE)
		after = kafka_publish_row(publication, trigger->tg_newslot);
	nmessages = kafka_publish_messages(publication, op, before.values ? &before : NULL,
									   after.values ? &after : NULL, messages);
	kafka_publish_deliver(publication, NULL, messages, nmessages);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(event_context);
	error_context_stack = callback.previous;
	return PointerGetDatum(NULL);
}
