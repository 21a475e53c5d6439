/*
 * row_write.c
 *		A row of a foreign table as a message to be sent, and where it went as a row again.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "header.h"
#include "row_private.h"

KafkaRow *
KafkaRowOpenWrite(Relation rel, const KafkaTable *table, List *attrs)
{
	KafkaRow   *row = kafka_row_open(rel, table, false);

	if (!table->updatable)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("foreign table \"%s\" does not allow inserts", row->relname)));

	if (table->format == KAFKA_FORMAT_DEBEZIUM)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot insert into foreign table \"%s\" of format debezium", row->relname),
				 errdetail("Its messages are the changes of another table's rows."),
				 errhint("kafka_publish_table() publishes the changes of a table.")));
	for (int i = 0; i < row->ncolumns; i++)
	{
		RowColumn  *column = &row->columns[i];

		column->given = attrs == NIL || list_member_int(attrs, column->attnum);
		if (column->part == KAFKA_PART_KEY || column->part == KAFKA_PART_VALUE)
			column->writer = KafkaDatumOpenWrite(column->type, table->encoding);
		else if (column->part == KAFKA_PART_TOPIC)
			column->writer = KafkaDatumOpenWrite(column->type, GetDatabaseEncoding());
		if (column->part == KAFKA_PART_VALUE)
			row->value_column = true;
	}
	for (int i = 0; i < row->nfields; i++)
	{
		KafkaField *field = &row->fields[i];

		field->writer = KafkaDatumOpenWrite(field->type, table->encoding);
		if (attrs == NIL || list_member_int(attrs, field->attnum))
			kafka_row_want_field(row, field);
	}
	if (row->nfields > 0)
	{
		row->format = kafka_row_format(table);
		row->format_state = row->format->open_write(table, row->fields, row->nfields);
	}

	/* Every row would be a tombstone, which deletes. */
	if (!row->value_column && !row->value_fields)
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

	KafkaDatumWrite(column->writer, value, &topic, &len);
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

pg_noreturn static void
report_same_part(const char *one, const char *other)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("columns \"%s\" and \"%s\" give the same part of the message", one, other),
			 errhint("Leave one of them NULL.")));
}

/* Refuse a second column for one part, unless one of the two is NULL. */
static void
check_once(const KafkaRow *row, const RowColumn *column, TupleTableSlot *slot)
{
	for (const RowColumn *other = row->columns; other < column; other++)
	{
		if (other->part == column->part && other->given && !slot->tts_isnull[other->attnum - 1])
			report_same_part(other->name, column->name);
	}
}

/* Put a column that is not NULL into the message. */
static void
fetch_part(const KafkaRow *row, RowColumn *column, Datum value, KafkaOutgoing *message)
{
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
			KafkaDatumWrite(column->writer, value, &message->key, &message->keylen);
			break;

		case KAFKA_PART_VALUE:
			KafkaDatumWrite(column->writer, value, &message->value, &message->valuelen);
			break;

		case KAFKA_PART_HEADERS:
			message->nheaders = column->type == JSONBOID
				? KafkaHeaderFromJsonb(value, &message->headers)
				: KafkaHeaderFromArray(value, &message->headers);
			break;

		case KAFKA_PART_JUNK:
		case KAFKA_PART_JUNK_ERROR:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot send junk"),
					 errdetail("The column shows what could not be read."),
					 errhint("Leave the column out.")));
			break;

		case KAFKA_PART_FIELD:
		case KAFKA_PART_NONE:
			pg_unreachable();
	}
}

/* The first field of the value, or of the key, that is not NULL; or NULL. */
static const KafkaField *
given_field(const KafkaRow *row, const TupleTableSlot *slot, bool in_key)
{
	for (int i = 0; i < row->nfields; i++)
	{
		const KafkaField *field = &row->fields[i];

		if (field->wanted && field->in_key == in_key && !slot->tts_isnull[field->attnum - 1])
			return field;
	}
	return NULL;
}

/* Refuse fields beside a column that gives all of what they are fields of. */
static void
report_twice(const KafkaRow *row, const KafkaField *field, KafkaPart part)
{
	for (int i = 0; i < row->ncolumns; i++)
	{
		if (row->columns[i].part == part)
			report_same_part(row->columns[i].name, field->column);
	}
}

/* Have the format make the value, and the key, of the columns that are their fields. */
static void
fetch_fields(const KafkaRow *row, const TupleTableSlot *slot, KafkaOutgoing *message)
{
	KafkaOutgoing parts = *message;
	const KafkaField *value_field = given_field(row, slot, false);
	const KafkaField *key_field = given_field(row, slot, true);

	if (parts.value != NULL && value_field != NULL)
		report_twice(row, value_field, KAFKA_PART_VALUE);
	if (parts.key != NULL && key_field != NULL)
		report_twice(row, key_field, KAFKA_PART_KEY);

	row->format->write(row->format_state, slot->tts_values, slot->tts_isnull, message);
	if (!row->value_fields || (row->value_column && value_field == NULL))
	{
		message->value = parts.value;
		message->valuelen = parts.valuelen;
	}
	if (key_field == NULL)
	{
		message->key = parts.key;
		message->keylen = parts.keylen;
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
	kafka_row_push_context(row, &callback);
	for (int i = 0; i < row->ncolumns; i++)
	{
		RowColumn  *column = &row->columns[i];

		if (!column->given || slot->tts_isnull[column->attnum - 1])
			continue;
		row->column = column;
		check_once(row, column, slot);
		fetch_part(row, column, slot->tts_values[column->attnum - 1], message);
	}
	row->column = NULL;
	if (row->format != NULL)
		fetch_fields(row, slot, message);
	row->sent_timestamp = message->timestamp;

	if (message->key == NULL && message->value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a message without a value needs a key"),
				 errdetail("A NULL value is a tombstone, which deletes its key.")));
	kafka_row_pop_context(&callback);
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

	kafka_row_push_context(row, &callback);
	for (int i = 0; i < row->ncolumns; i++)
	{
		RowColumn  *column = &row->columns[i];
		int			attr = column->attnum - 1;

		row->column = column;
		kafka_row_make_constants(row, column);
		nulls[attr] = false;
		replace[attr] = true;
		switch (column->part)
		{
			case KAFKA_PART_TOPIC:
				values[attr] = column->constants[0];
				break;

			case KAFKA_PART_PARTITION:
				values[attr] = kafka_row_integer(column, partition);
				break;

			case KAFKA_PART_OFFSET:
				nulls[attr] = offset < 0;
				values[attr] = kafka_row_integer(column, offset);
				break;

			case KAFKA_PART_TIMESTAMP:
				nulls[attr] = timestamp == KAFKA_NO_TIMESTAMP;
				if (!nulls[attr])
					(void) kafka_row_time(row, column, timestamp, &values[attr]);
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
		if (replace[attr])
			(void) kafka_row_check_domain(row, column, values[attr], nulls[attr]);
	}
	row->column = NULL;
	kafka_row_pop_context(&callback);

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
