/*
 * row.c
 *		A message and a row of a foreign table: which column is which part, and their conversion.
 *
 * A scan fills a slot's arrays from each message and stores it as a virtual tuple. Three
 * lifetimes: what lives as long as the scan is in the context that the row was opened in (buffers
 * of text and bytea, constants such as the topic's name); what input functions allocate is in
 * rowcontext, reset before each row; nothing goes into the context of the caller, which may keep
 * it for as long as it likes. Keys and values are format_raw.c's, headers header.c's.
 *
 * A column of a domain gets what its base type would get, and then the domain's check; so a domain
 * over bytea gets the message's bytes and not what they mean in bytea's notation.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "format_raw.h"
#include "header.h"
#include "row.h"

/* The largest and smallest times of Kafka that PostgreSQL has, in ms since 1970. */
#define EPOCH_DIFFERENCE_MS (KAFKA_EPOCH_DIFFERENCE_US / 1000)
#define MIN_MS (MIN_TIMESTAMP / 1000 + EPOCH_DIFFERENCE_MS)
#define MAX_MS (END_TIMESTAMP / 1000 + EPOCH_DIFFERENCE_MS) /* exclusive */

/* A column that shows a part of the message. */
typedef struct RowColumn
{
	KafkaPart	part;
	AttrNumber	attnum;
	const char *name;
	Oid			type;			/* a domain's base type */
	int32		typmod;
	Oid			domain;			/* the column's type where it is a domain */
	void	   *domain_cache;	/* domain_check's */
	Datum		constants[2];	/* the topic's name, or the two timestamp types */
	KafkaRawReader *reader;		/* keys and values, when reading */
	KafkaRawWriter *writer;		/* keys, values and the topic, when sending */
	bool		given;			/* sending: the statement may give it */
} RowColumn;

struct KafkaRow
{
	const char *relname;
	const char *topic;
	MemoryContext context;		/* in which the row was opened */
	MemoryContext rowcontext;	/* reset for each row */
	RowColumn  *columns;
	int			ncolumns;
	int64		nrows;			/* rows fetched */
	int64		sent_timestamp; /* of the last row fetched, or KAFKA_NO_TIMESTAMP */

	/* for the error context */
	const RowColumn *column;	/* being converted, or NULL */
	const KafkaMessage *message;	/* being read, or NULL */
};

/* Say which message, or which row, an error is about. */
static void
row_error_callback(void *arg)
{
	const KafkaRow *row = arg;

	if (row->message != NULL)
		errcontext("column \"%s\" of foreign table \"%s\", topic \"%s\", partition %d, offset %lld",
				   row->column->name, row->relname, row->topic, row->message->partition,
				   (long long) row->message->offset);
	else if (row->column == NULL)
		errcontext("foreign table \"%s\", row %lld", row->relname, (long long) row->nrows);
	else if (row->nrows == 0)
		errcontext("column \"%s\" of foreign table \"%s\"", row->column->name, row->relname);
	else
		errcontext("column \"%s\" of foreign table \"%s\", row %lld", row->column->name,
				   row->relname, (long long) row->nrows);
}

static void
push_error_context(KafkaRow *row, ErrorContextCallback *callback)
{
	callback->callback = row_error_callback;
	callback->arg = row;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

static void
pop_error_context(ErrorContextCallback *callback)
{
	error_context_stack = callback->previous;
}

/* All columns of a relation with their parts, which every column must have. */
static KafkaRow *
open_row(Relation rel, const KafkaTable *table)
{
	KafkaRow   *row = palloc0(sizeof(KafkaRow));
	TupleDesc	desc = RelationGetDescr(rel);

	row->relname = pstrdup(RelationGetRelationName(rel));
	row->topic = table->topic;
	row->context = CurrentMemoryContext;
	row->rowcontext = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw row",
											ALLOCSET_DEFAULT_SIZES);
	row->columns = palloc0(desc->natts * sizeof(RowColumn));
	row->sent_timestamp = KAFKA_NO_TIMESTAMP;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		RowColumn  *column = &row->columns[row->ncolumns];

		if (attr->attisdropped)
			continue;
		column->part = KafkaOptionColumnPart(RelationGetRelid(rel), attr->attnum);
		if (column->part == KAFKA_PART_NONE)
			continue;
		column->attnum = attr->attnum;
		column->name = pstrdup(NameStr(attr->attname));
		column->typmod = attr->atttypmod;
		column->type = getBaseTypeAndTypmod(attr->atttypid, &column->typmod);
		if (column->type != attr->atttypid)
			column->domain = attr->atttypid;
		row->ncolumns++;
	}
	return row;
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

/*
 * A word as a datum that is the same in every row. name would cut it, and what is cut is another
 * topic's name.
 */
static Datum
make_constant(KafkaRow *row, const RowColumn *column, const char *word)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(row->context);
	Oid			input;
	Oid			ioparam;
	Datum		result;

	if (column->type == NAMEOID && strlen(word) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("value too long for type %s", "name"),
				 errhint("Declare the column as text.")));
	getTypeInputInfo(column->type, &input, &ioparam);
	result = OidInputFunctionCall(input, unconstify(char *, word), ioparam, column->typmod);
	MemoryContextSwitchTo(oldcontext);
	return result;
}

/* Make what topic and timestamp_type columns show, unless it was made before. */
static void
make_constants(KafkaRow *row, RowColumn *column)
{
	if (column->constants[0] != (Datum) 0)
		return;
	if (column->part == KAFKA_PART_TOPIC)
		column->constants[0] = make_constant(row, column, row->topic);
	else if (column->part == KAFKA_PART_TIMESTAMP_TYPE)
	{
		column->constants[1] = make_constant(row, column, "append");
		column->constants[0] = make_constant(row, column, "create");
	}
}

KafkaRow *
KafkaRowOpenRead(Relation rel, const KafkaTable *table, Bitmapset *used)
{
	KafkaRow   *row = open_row(rel, table);
	bool		all = bms_is_member(-FirstLowInvalidHeapAttributeNumber, used);
	ErrorContextCallback callback;
	int			nused = 0;

	push_error_context(row, &callback);
	for (int i = 0; i < row->ncolumns; i++)
	{
		RowColumn  *column = &row->columns[nused];

		if (!all && !bms_is_member(row->columns[i].attnum - FirstLowInvalidHeapAttributeNumber,
								   used))
			continue;
		*column = row->columns[i];
		row->column = column;
		if (column->part == KAFKA_PART_KEY || column->part == KAFKA_PART_VALUE)
			column->reader = KafkaRawOpenRead(column->type, column->typmod, table->encoding,
											  table->invalid_text, row->rowcontext);
		make_constants(row, column);
		nused++;
	}
	row->column = NULL;
	pop_error_context(&callback);
	row->ncolumns = nused;
	return row;
}

/* An integer of the column's type, or an error where that is too small for it. */
static Datum
store_integer(const RowColumn *column, int64 value)
{
	switch (column->type)
	{
		case INT8OID:
			return Int64GetDatum(value);

		case INT4OID:
			if (value >= PG_INT32_MIN && value <= PG_INT32_MAX)
				return Int32GetDatum((int32) value);
			break;

		case INT2OID:
			if (value >= PG_INT16_MIN && value <= PG_INT16_MAX)
				return Int16GetDatum((int16) value);
			break;

		default:
			elog(ERROR, "unexpected type of an integer column: %u", column->type);
	}
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value %lld is out of range for type %s", (long long) value,
					format_type_be(column->type)),
			 errhint("Declare the column as bigint.")));
}

/* A time of Kafka; some producers count in other units and send times beyond PostgreSQL's. */
static Datum
store_time(const RowColumn *column, int64 ms)
{
	Datum		result;

	if (ms < MIN_MS || ms >= MAX_MS)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range"),
				 errdetail("The message's timestamp is %lld milliseconds since 1970.",
						   (long long) ms)));
	result = TimestampTzGetDatum((ms - EPOCH_DIFFERENCE_MS) * 1000);
	if (column->typmod >= 0)
		result = DirectFunctionCall2(timestamptz_scale, result, Int32GetDatum(column->typmod));
	return result;
}

/* A header column's datum, in the row's context. */
static Datum
store_headers(KafkaRow *row, const RowColumn *column, const KafkaMessage *message,
			  KafkaHeadersFn headers, void *source)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(row->rowcontext);
	KafkaHeader *items = NULL;
	int			nitems = headers(source, message, &items);
	Datum		result;

	if (column->type == JSONBOID)
		result = KafkaHeaderToJsonb(items, nitems);
	else
		result = KafkaHeaderToArray(items, nitems, column->type);
	MemoryContextSwitchTo(oldcontext);
	return result;
}

void
KafkaRowStore(KafkaRow *row, const KafkaMessage *message, KafkaHeadersFn headers,
			  void *source, TupleTableSlot *slot)
{
	ErrorContextCallback callback;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	MemoryContextReset(row->rowcontext);

	row->message = message;
	push_error_context(row, &callback);
	for (int i = 0; i < row->ncolumns; i++)
	{
		RowColumn  *column = &row->columns[i];
		Datum	   *value = &slot->tts_values[column->attnum - 1];
		bool		isnull = false;

		row->column = column;
		switch (column->part)
		{
			case KAFKA_PART_TOPIC:
				*value = column->constants[0];
				break;

			case KAFKA_PART_PARTITION:
				*value = store_integer(column, message->partition);
				break;

			case KAFKA_PART_OFFSET:
				*value = store_integer(column, message->offset);
				break;

			case KAFKA_PART_TIMESTAMP:
				isnull = message->timestamp == KAFKA_NO_TIMESTAMP;
				if (!isnull)
					*value = store_time(column, message->timestamp);
				break;

			case KAFKA_PART_TIMESTAMP_TYPE:
				isnull = message->timestamp_type == KAFKA_TIMESTAMP_NONE;
				*value = column->constants[message->timestamp_type == KAFKA_TIMESTAMP_APPEND];
				break;

			case KAFKA_PART_KEY:
				isnull = !KafkaRawRead(column->reader, message->key, message->keylen, value);
				break;

			case KAFKA_PART_VALUE:
				isnull = !KafkaRawRead(column->reader, message->value, message->valuelen, value);
				break;

			case KAFKA_PART_HEADERS:
				*value = store_headers(row, column, message, headers, source);
				break;

			case KAFKA_PART_NONE:
				pg_unreachable();
		}
		if (isnull)
			*value = (Datum) 0;
		if (OidIsValid(column->domain))
			domain_check(*value, isnull, column->domain, &column->domain_cache, row->context);
		slot->tts_isnull[column->attnum - 1] = isnull;
	}
	pop_error_context(&callback);
	row->message = NULL;

	ExecStoreVirtualTuple(slot);
}

/* ------------------------------------------------------------------------
 * Sending
 * ------------------------------------------------------------------------ */

KafkaRow *
KafkaRowOpenWrite(Relation rel, const KafkaTable *table, List *attrs)
{
	KafkaRow   *row = open_row(rel, table);
	bool		has_value = false;

	if (!table->updatable)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("foreign table \"%s\" does not allow inserts", row->relname)));

	for (int i = 0; i < row->ncolumns; i++)
	{
		RowColumn  *column = &row->columns[i];

		column->given = attrs == NIL || list_member_int(attrs, column->attnum);
		if (column->part == KAFKA_PART_KEY || column->part == KAFKA_PART_VALUE)
			column->writer = KafkaRawOpenWrite(column->type, table->encoding);
		else if (column->part == KAFKA_PART_TOPIC)
			column->writer = KafkaRawOpenWrite(column->type, GetDatabaseEncoding());
		if (column->part == KAFKA_PART_VALUE)
			has_value = true;
	}

	/* Every row would be a tombstone, which deletes. */
	if (!has_value)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot insert into foreign table \"%s\"", row->relname),
				 errdetail("It has no column for the message's value, and a message without one "
						   "deletes its key.")));
	return row;
}

/* A partition that was given; whether the topic has it is the producer's to know. */
static int32
fetch_partition(const RowColumn *column, Datum value)
{
	int64		partition;

	switch (column->type)
	{
		case INT8OID:
			partition = DatumGetInt64(value);
			break;
		case INT4OID:
			partition = DatumGetInt32(value);
			break;
		case INT2OID:
			partition = DatumGetInt16(value);
			break;
		default:
			elog(ERROR, "unexpected type of a partition column: %u", column->type);
	}
	if (partition < 0 || partition > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("partition %lld is out of range", (long long) partition)));
	return (int32) partition;
}

/* A timestamp that was given, cut to milliseconds. */
static int64
fetch_timestamp(Datum value)
{
	TimestampTz timestamp = DatumGetTimestampTz(value);
	int64		ms = timestamp / 1000;

	if (TIMESTAMP_NOT_FINITE(timestamp) || timestamp < -KAFKA_EPOCH_DIFFERENCE_US)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp \"%s\" is out of Kafka's range", timestamptz_to_str(timestamp)),
				 errdetail("A message's timestamp is finite and not before 1970.")));
	if (timestamp % 1000 < 0)
		ms--;
	return ms + EPOCH_DIFFERENCE_MS;
}

/* A topic that was given can only be the table's. */
static void
check_topic(const KafkaRow *row, RowColumn *column, Datum value)
{
	const char *topic;
	Size		len;

	KafkaRawWrite(column->writer, value, &topic, &len);
	while (column->type == BPCHAROID && len > 0 && topic[len - 1] == ' ')
		len--;
	if (len != strlen(row->topic) || memcmp(topic, row->topic, len) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot send to topic \"%.*s\" through foreign table \"%s\"",
						(int) len, topic, row->relname),
				 errdetail("The table's topic is \"%s\".", row->topic)));
}

/* Refuse a value for what Kafka decides. */
pg_noreturn static void
report_decided(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot send a message with a given %s", what),
			 errhint("Leave the column out; RETURNING shows what Kafka chose.")));
}

/* Refuse a second column for one part, unless one of the two is NULL. */
static void
check_once(const KafkaRow *row, const RowColumn *column, TupleTableSlot *slot)
{
	for (const RowColumn *other = row->columns; other < column; other++)
	{
		if (other->part == column->part && other->given && !slot->tts_isnull[other->attnum - 1])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("columns \"%s\" and \"%s\" give the same part of the message",
							other->name, column->name),
					 errhint("Leave one of them NULL.")));
	}
}

void
KafkaRowFetch(KafkaRow *row, TupleTableSlot *slot, KafkaOutgoing *message)
{
	ErrorContextCallback callback;
	MemoryContext oldcontext;

	memset(message, 0, sizeof(KafkaOutgoing));
	message->partition = KAFKA_ANY_PARTITION;
	message->timestamp = KAFKA_NO_TIMESTAMP;

	row->nrows++;
	slot_getallattrs(slot);
	MemoryContextReset(row->rowcontext);
	oldcontext = MemoryContextSwitchTo(row->rowcontext);
	push_error_context(row, &callback);
	for (int i = 0; i < row->ncolumns; i++)
	{
		RowColumn  *column = &row->columns[i];
		Datum		value = slot->tts_values[column->attnum - 1];

		if (!column->given || slot->tts_isnull[column->attnum - 1])
			continue;
		row->column = column;
		check_once(row, column, slot);
		switch (column->part)
		{
			case KAFKA_PART_TOPIC:
				check_topic(row, column, value);
				break;

			case KAFKA_PART_PARTITION:
				message->partition = fetch_partition(column, value);
				break;

			case KAFKA_PART_OFFSET:
				report_decided("offset");

			case KAFKA_PART_TIMESTAMP:
				message->timestamp = fetch_timestamp(value);
				break;

			case KAFKA_PART_TIMESTAMP_TYPE:
				report_decided("timestamp type");

			case KAFKA_PART_KEY:
				KafkaRawWrite(column->writer, value, &message->key, &message->keylen);
				break;

			case KAFKA_PART_VALUE:
				KafkaRawWrite(column->writer, value, &message->value, &message->valuelen);
				break;

			case KAFKA_PART_HEADERS:
				message->nheaders = column->type == JSONBOID
					? KafkaHeaderFromJsonb(value, &message->headers)
					: KafkaHeaderFromArray(value, &message->headers);
				break;

			case KAFKA_PART_NONE:
				pg_unreachable();
		}
	}
	row->column = NULL;
	row->sent_timestamp = message->timestamp;

	if (message->key == NULL && message->value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a message without a value needs a key"),
				 errdetail("A NULL value is a tombstone, which deletes its key.")));
	pop_error_context(&callback);
	MemoryContextSwitchTo(oldcontext);
}

void
KafkaRowStoreDelivery(KafkaRow *row, TupleTableSlot *slot, int32 partition,
					  int64 offset, int64 timestamp)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	bool	   *replace = palloc0(desc->natts * sizeof(bool));
	Oid			tableoid = slot->tts_tableOid;
	ErrorContextCallback callback;
	MemoryContext oldcontext;
	HeapTuple	tuple;
	HeapTuple	result;
	bool		should_free;

	push_error_context(row, &callback);
	for (int i = 0; i < row->ncolumns; i++)
	{
		RowColumn  *column = &row->columns[i];
		int			attr = column->attnum - 1;

		row->column = column;
		make_constants(row, column);
		nulls[attr] = false;
		replace[attr] = true;
		switch (column->part)
		{
			case KAFKA_PART_TOPIC:
				values[attr] = column->constants[0];
				break;

			case KAFKA_PART_PARTITION:
				values[attr] = store_integer(column, partition);
				break;

			case KAFKA_PART_OFFSET:
				nulls[attr] = offset < 0;
				values[attr] = store_integer(column, offset);
				break;

			case KAFKA_PART_TIMESTAMP:
				nulls[attr] = timestamp == KAFKA_NO_TIMESTAMP;
				if (!nulls[attr])
					values[attr] = store_time(column, timestamp);
				break;

			case KAFKA_PART_TIMESTAMP_TYPE:
				/* A broker that keeps the producer's time returns the very time it was given. */
				nulls[attr] = row->sent_timestamp == KAFKA_NO_TIMESTAMP;
				values[attr] = column->constants[timestamp != row->sent_timestamp];
				break;

			default:
				replace[attr] = false;
				break;
		}
		if (replace[attr] && OidIsValid(column->domain))
			domain_check(values[attr], nulls[attr], column->domain, &column->domain_cache,
						 row->context);
	}
	row->column = NULL;
	pop_error_context(&callback);

	/* A slot can hold a tuple beside its arrays, and triggers look at that: make both anew. */
	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
	oldcontext = MemoryContextSwitchTo(slot->tts_mcxt);
	result = heap_modify_tuple(tuple, desc, values, nulls, replace);
	MemoryContextSwitchTo(oldcontext);
	if (should_free)
		heap_freetuple(tuple);
	ExecForceStoreHeapTuple(result, slot, true);
	slot->tts_tableOid = tableoid;

	pfree(values);
	pfree(nulls);
	pfree(replace);
}
