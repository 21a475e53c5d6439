/*
 * send.c
 *		kafka_send() and kafka_produce(): one message, sent and acknowledged; and
 *		kafka_send_on_commit(), which holds it until the transaction commits.
 *
 * The functions are not strict, since most of their arguments may be NULL. All that a call
 * allocates is in a context of its own, on which the message's batch hangs too. Only the server
 * that was used last is kept: finding it, with the check of rights, would be a fifth of what a send
 * costs the backend.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "header.h"
#include "message.h"
#include "option.h"
#include "outbox.h"
#include "pending.h"
#include "producer.h"
#include "scan.h"
#include "setting.h"
#include "text.h"

/* The arguments' places, the same in all overloads. */
enum SendArgument
{
	ARG_TOPIC,
	ARG_VALUE,
	ARG_KEY,
	ARG_PARTITION,
	ARG_HEADERS,
	ARG_TIMESTAMP,
	ARG_SERVER
};

/* What the value's and the key's types make of them. */
typedef enum SendType
{
	SEND_TEXT,					/* text and json: as they are, in UTF-8 */
	SEND_BYTEA,
	SEND_JSONB					/* as jsonb prints it; the key is text */
} SendType;

/* The server used last, and what was asked for when it was found. */
typedef struct LastServer
{
	KafkaServer *server;		/* NULL: none */
	MemoryContext context;
	Oid			userid;
	bool		named;
	NameData	name;			/* where named */
	char	   *default_server; /* the setting, where not */
} LastServer;

static LastServer last_server;
static uint32 nchanges = 0;		/* of what the choice of a server rests on */

PG_FUNCTION_INFO_V1(kafka_send_text);
PG_FUNCTION_INFO_V1(kafka_send_bytea);
PG_FUNCTION_INFO_V1(kafka_send_jsonb);
PG_FUNCTION_INFO_V1(kafka_produce_text);
PG_FUNCTION_INFO_V1(kafka_produce_bytea);
PG_FUNCTION_INFO_V1(kafka_produce_jsonb);
PG_FUNCTION_INFO_V1(kafka_send_on_commit_text);
PG_FUNCTION_INFO_V1(kafka_send_on_commit_bytea);
PG_FUNCTION_INFO_V1(kafka_send_on_commit_jsonb);
PG_FUNCTION_INFO_V1(kafka_enqueue_text);
PG_FUNCTION_INFO_V1(kafka_enqueue_bytea);
PG_FUNCTION_INFO_V1(kafka_enqueue_jsonb);

/* Something changed that the choice of the server, or the right to use it, may have rested on. */
static void
forget_server(Datum arg, int cacheid, uint32 hashvalue)
{
	last_server.server = NULL;
	nchanges++;
}

/* Watch all that KafkaOptionChooseServer and KafkaOptionGetServer look at. */
static void
watch_catalogs(void)
{
	static const int caches[] = {
		FOREIGNSERVEROID, FOREIGNDATAWRAPPEROID, USERMAPPINGOID, AUTHOID, AUTHMEMROLEMEM, DATABASEOID
	};

	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], forget_server, (Datum) 0);
}

/*
 * The server named (NULL: the default one) for the current role, which has USAGE on it. Valid until
 * the next call.
 */
static KafkaServer *
get_server(Name name)
{
	Oid			userid = GetUserId();
	const char *setting = kafka_default_server ? kafka_default_server : "";
	MemoryContext oldcontext;
	KafkaServer *server;
	uint32		before;

	if (last_server.server && last_server.userid == userid &&
		last_server.named == (name != NULL) &&
		(name ? strcmp(NameStr(last_server.name), NameStr(*name)) == 0
		 : strcmp(last_server.default_server, setting) == 0))
		return last_server.server;

	if (last_server.context == NULL)
	{
		last_server.context = AllocSetContextCreate(TopMemoryContext, "kafka_send server",
													ALLOCSET_SMALL_SIZES);
		watch_catalogs();
	}
	before = nchanges;
	last_server.server = NULL;
	MemoryContextReset(last_server.context);
	oldcontext = MemoryContextSwitchTo(last_server.context);
	server = KafkaOptionGetServer(KafkaOptionChooseServer(name ? NameStr(*name) : NULL, userid),
								  userid);
	last_server.userid = userid;
	last_server.named = name != NULL;
	if (name)
		namestrcpy(&last_server.name, NameStr(*name));
	last_server.default_server = pstrdup(setting);
	MemoryContextSwitchTo(oldcontext);
	if (nchanges == before)
		last_server.server = server;
	return server;
}

/* The bytes of a value or key. What is empty is not NULL. */
static void
get_bytes(Datum datum, SendType type, const char **data, Size *len)
{
	if (type == SEND_JSONB)
	{
		Jsonb	   *jsonb = DatumGetJsonbP(datum);
		StringInfoData text;

		initStringInfo(&text);
		JsonbToCString(&text, &jsonb->root, VARSIZE(jsonb));
		*data = text.data;
		*len = text.len;
	}
	else
	{
		struct varlena *bytes = PG_DETOAST_DATUM_PACKED(datum);

		*data = VARDATA_ANY(bytes);
		*len = VARSIZE_ANY_EXHDR(bytes);
	}
	if (type != SEND_BYTEA)
		KafkaTextEncode(PG_UTF8, data, len);
}

/* Milliseconds since 1970. */
static int64
get_timestamp(TimestampTz timestamp)
{
	if (TIMESTAMP_NOT_FINITE(timestamp) || timestamp < -KAFKA_EPOCH_DIFFERENCE_US)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp \"%s\" is out of Kafka's range", timestamptz_to_str(timestamp)),
				 errdetail("A message's timestamp is finite and not before 1970.")));
	/* offset first: what is left is not negative, so that the division rounds down */
	return kafka_timestamptz_to_ms(timestamp);
}

/* The arguments as a message. */
static void
get_message(FunctionCallInfo fcinfo, SendType type, KafkaOutgoing *message)
{
	memset(message, 0, sizeof(KafkaOutgoing));
	message->partition = KAFKA_ANY_PARTITION;
	message->timestamp = KAFKA_NO_TIMESTAMP;

	if (PG_ARGISNULL(ARG_VALUE) && PG_ARGISNULL(ARG_KEY))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a message without a value needs a key"),
				 errdetail("A NULL value is a tombstone, which deletes its key.")));
	if (!PG_ARGISNULL(ARG_VALUE))
		get_bytes(PG_GETARG_DATUM(ARG_VALUE), type, &message->value, &message->valuelen);
	if (!PG_ARGISNULL(ARG_KEY))
		get_bytes(PG_GETARG_DATUM(ARG_KEY), type == SEND_BYTEA ? SEND_BYTEA : SEND_TEXT,
				  &message->key, &message->keylen);
	if (!PG_ARGISNULL(ARG_PARTITION))
	{
		message->partition = PG_GETARG_INT32(ARG_PARTITION);
		if (message->partition < 0)
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("partition %d is out of range", message->partition)));
	}
	if (!PG_ARGISNULL(ARG_HEADERS))
		message->nheaders = KafkaHeaderFromJsonb(PG_GETARG_DATUM(ARG_HEADERS), &message->headers);
	if (!PG_ARGISNULL(ARG_TIMESTAMP))
		message->timestamp = get_timestamp(PG_GETARG_TIMESTAMPTZ(ARG_TIMESTAMP));
}

/*
 * What the arguments say: the message, its topic and server, checked against the rights of the current
 * role.
 */
static KafkaServer *
get_arguments(FunctionCallInfo fcinfo, SendType type, const char *function, char **topic,
			  KafkaOutgoing *message)
{
	KafkaServer *server;

	KafkaSettingCheckWrite(function);
	if (PG_ARGISNULL(ARG_TOPIC))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("topic must not be null")));

	server = get_server(PG_ARGISNULL(ARG_SERVER) ? NULL : PG_GETARG_NAME(ARG_SERVER));
	*topic = text_to_cstring(PG_GETARG_TEXT_PP(ARG_TOPIC));
	KafkaOptionCheckTopic(server, *topic);
	get_message(fcinfo, type, message);
	return server;
}

/* Send what the arguments say. */
static KafkaDelivery
send_message(FunctionCallInfo fcinfo, SendType type, const char *function)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kafka_send",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	KafkaServer *server;
	KafkaBatch *batch;
	KafkaOutgoing message;
	KafkaDelivery delivery;
	char	   *topic;

	server = get_arguments(fcinfo, type, function, &topic, &message);
	KafkaScanFixEnds(topic);
	batch = KafkaBatchBegin(server, topic);
	KafkaBatchAdd(batch, &message);
	delivery = KafkaBatchWait(batch);
	KafkaBatchFinish(batch);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return delivery;
}

/* Hold what the arguments say until the transaction commits. */
static Datum
hold_message(FunctionCallInfo fcinfo, SendType type)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kafka_send_on_commit",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	KafkaServer *server;
	KafkaOutgoing message;
	char	   *topic;

	server = get_arguments(fcinfo, type, "kafka_send_on_commit()", &topic, &message);
	KafkaPendingAdd(server, topic, &message);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	PG_RETURN_VOID();
}

/* Store what the arguments say in the outbox; its id. */
static Datum
enqueue_message(FunctionCallInfo fcinfo, SendType type)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kafka_enqueue",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	KafkaServer *server;
	KafkaOutgoing message;
	char	   *topic;
	int64		id;

	server = get_arguments(fcinfo, type, "kafka_enqueue()", &topic, &message);
	id = KafkaOutboxAdd(server, topic, &message);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	PG_RETURN_INT64(id);
}

/* The offset, NULL in the rare case that the broker stored the message and did not say where. */
static Datum
send_and_return_offset(FunctionCallInfo fcinfo, SendType type)
{
	KafkaDelivery delivery = send_message(fcinfo, type, "kafka_send()");

	if (delivery.offset == KAFKA_UNKNOWN_OFFSET)
		PG_RETURN_NULL();
	PG_RETURN_INT64(delivery.offset);
}

/* Partition, offset and timestamp. The row type is looked up once a query. */
static Datum
send_and_return_row(FunctionCallInfo fcinfo, SendType type)
{
	TupleDesc	desc = (TupleDesc) fcinfo->flinfo->fn_extra;
	KafkaDelivery delivery;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (desc == NULL)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		desc = BlessTupleDesc(desc);
		fcinfo->flinfo->fn_extra = desc;
		MemoryContextSwitchTo(oldcontext);
	}

	delivery = send_message(fcinfo, type, "kafka_produce()");
	values[0] = Int32GetDatum(delivery.partition);
	values[1] = Int64GetDatum(delivery.offset);
	nulls[1] = delivery.offset == KAFKA_UNKNOWN_OFFSET;
	values[2] = TimestampTzGetDatum(kafka_ms_to_timestamptz(delivery.timestamp));
	nulls[2] = delivery.timestamp == KAFKA_NO_TIMESTAMP;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

Datum
kafka_send_text(PG_FUNCTION_ARGS)
{
	return send_and_return_offset(fcinfo, SEND_TEXT);
}

Datum
kafka_send_bytea(PG_FUNCTION_ARGS)
{
	return send_and_return_offset(fcinfo, SEND_BYTEA);
}

Datum
kafka_send_jsonb(PG_FUNCTION_ARGS)
{
	return send_and_return_offset(fcinfo, SEND_JSONB);
}

Datum
kafka_produce_text(PG_FUNCTION_ARGS)
{
	return send_and_return_row(fcinfo, SEND_TEXT);
}

Datum
kafka_produce_bytea(PG_FUNCTION_ARGS)
{
	return send_and_return_row(fcinfo, SEND_BYTEA);
}

Datum
kafka_produce_jsonb(PG_FUNCTION_ARGS)
{
	return send_and_return_row(fcinfo, SEND_JSONB);
}

Datum
kafka_send_on_commit_text(PG_FUNCTION_ARGS)
{
	return hold_message(fcinfo, SEND_TEXT);
}

Datum
kafka_send_on_commit_bytea(PG_FUNCTION_ARGS)
{
	return hold_message(fcinfo, SEND_BYTEA);
}

Datum
kafka_send_on_commit_jsonb(PG_FUNCTION_ARGS)
{
	return hold_message(fcinfo, SEND_JSONB);
}

Datum
kafka_enqueue_text(PG_FUNCTION_ARGS)
{
	return enqueue_message(fcinfo, SEND_TEXT);
}

Datum
kafka_enqueue_bytea(PG_FUNCTION_ARGS)
{
	return enqueue_message(fcinfo, SEND_BYTEA);
}

Datum
kafka_enqueue_jsonb(PG_FUNCTION_ARGS)
{
	return enqueue_message(fcinfo, SEND_JSONB);
}
