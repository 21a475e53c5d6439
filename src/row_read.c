/*
 * row_read.c
 *		A message as a row of a foreign table.
 *
 * Bad data is an error (on_error stop), or noted, and then the row has a NULL in its place
 * (set_null) or is left out (skip). Only columns that the scan shows are made, unless what it shows
 * depends on the others too: a row that is left out, and junk.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "header.h"
#include "row_private.h"

#define MAX_SKIPPED_NOTE 400	/* bytes of the first error, in the WARNING */

static bool
is_junk(KafkaPart part)
{
	return part == KAFKA_PART_JUNK || part == KAFKA_PART_JUNK_ERROR;
}

/* Prepare a part that is wanted. */
static void
open_part(KafkaRow *row, RowColumn *column, const KafkaTable *table)
{
	KafkaInvalidText invalid = table->invalid_text;

	switch (column->part)
	{
		case KAFKA_PART_JUNK:
			invalid = KAFKA_INVALID_ESCAPE;
			/* FALLTHROUGH */
		case KAFKA_PART_KEY:
		case KAFKA_PART_VALUE:
		case KAFKA_PART_JUNK_ERROR:
			/* A domain has its typmod itself. */
			column->reader = KafkaDatumOpenRead(column->declared,
												column->declared == column->type ? column->typmod : -1,
												table->encoding, invalid, row->rowcontext);
			break;
		default:
			kafka_row_make_constants(row, column);
			break;
	}
}

static bool
is_used(Bitmapset *used, AttrNumber attnum)
{
	return bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, used) ||
		bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used);
}

/* Keep the parts that are wanted, those for junk behind all others, which they tell of. */
static void
choose_parts(KafkaRow *row, const KafkaTable *table, Bitmapset *used, bool all)
{
	RowColumn  *columns = row->columns;
	int			ncolumns = row->ncolumns;

	row->columns = palloc0(ncolumns * sizeof(RowColumn));
	row->ncolumns = 0;
	for (int pass = 0; pass < 2; pass++)
	{
		for (int i = 0; i < ncolumns; i++)
		{
			RowColumn  *column = &row->columns[row->ncolumns];

			if (is_junk(columns[i].part) != (pass == 1) ||
				!(is_used(used, columns[i].attnum) || (all && pass == 0)))
				continue;
			*column = columns[i];
			row->column = column;
			open_part(row, column, table);
			row->ncolumns++;
			row->njunk += pass;
		}
	}
	row->column = NULL;
}

static void
choose_fields(KafkaRow *row, const KafkaTable *table, Bitmapset *used, bool all)
{
	for (int i = 0; i < row->nfields; i++)
	{
		KafkaField *field = &row->fields[i];

		if (!all && !is_used(used, field->attnum))
			continue;
		row->failure.column = field->column;
		field->reader = KafkaDatumOpenRead(field->type, field->typmod, table->encoding,
										   KAFKA_INVALID_ERROR, row->rowcontext);
		kafka_row_want_field(row, field);
	}
	row->failure.column = NULL;
	/* The row of a tombstone is in its key. */
	if (table->format == KAFKA_FORMAT_DEBEZIUM)
		row->value_fields = row->key_fields = row->value_fields || row->key_fields;
	if (row->value_fields || row->key_fields)
	{
		row->format = kafka_row_format(table);
		row->format_state = row->format->open_read(table, row->fields, row->nfields,
												   row->rowcontext);
	}
}

KafkaRow *
KafkaRowOpenRead(Relation rel, const KafkaTable *table, Bitmapset *used)
{
	KafkaRow   *row = kafka_row_open(rel, table, table->on_error != KAFKA_ON_ERROR_STOP);
	bool		all;
	ErrorContextCallback callback;

	row->skip = table->on_error == KAFKA_ON_ERROR_SKIP;
	all = row->skip;
	for (int i = 0; i < row->ncolumns && !all; i++)
		all = is_junk(row->columns[i].part) && is_used(used, row->columns[i].attnum);

	kafka_row_push_context(row, &callback);
	choose_parts(row, table, used, all);
	choose_fields(row, table, used, all);
	kafka_row_pop_context(&callback);
	return row;
}

/* A header column's datum, in the row's context. */
static bool
store_headers(KafkaRow *row, const RowColumn *column, const KafkaMessage *message,
			  KafkaHeadersFn headers, void *source, Datum *value)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(row->rowcontext);
	KafkaHeader *items = NULL;
	int			nitems = headers(source, message, &items);
	bool		ok = true;

	if (column->type == JSONBOID)
		*value = KafkaHeaderToJsonb(items, nitems);
	else
		ok = KafkaHeaderToArray(items, nitems, column->type, &row->failure, value);
	MemoryContextSwitchTo(oldcontext);
	return ok;
}

/* A part of the message; false where it is bad. */
static bool
store_part(KafkaRow *row, RowColumn *column, const KafkaMessage *message, KafkaHeadersFn headers,
		   void *source, Datum *value, bool *isnull)
{
	KafkaFailure *failure = &row->failure;

	*isnull = false;
	switch (column->part)
	{
		case KAFKA_PART_TOPIC:
			*value = column->constants[0];
			break;

		case KAFKA_PART_PARTITION:
			*value = kafka_row_integer(column, message->partition);
			break;

		case KAFKA_PART_OFFSET:
			*value = kafka_row_integer(column, message->offset);
			break;

		case KAFKA_PART_TIMESTAMP:
			*isnull = message->timestamp == KAFKA_NO_TIMESTAMP;
			if (!*isnull && !kafka_row_time(row, column, message->timestamp, value))
				return false;
			break;

		case KAFKA_PART_TIMESTAMP_TYPE:
			*isnull = message->timestamp_type == KAFKA_TIMESTAMP_NONE;
			*value = column->constants[message->timestamp_type == KAFKA_TIMESTAMP_APPEND];
			break;

		case KAFKA_PART_KEY:
			return KafkaDatumRead(column->reader, message->key, message->keylen, failure, value,
								  isnull);

		case KAFKA_PART_VALUE:
			return KafkaDatumRead(column->reader, message->value, message->valuelen, failure,
								  value, isnull);

		case KAFKA_PART_HEADERS:
			if (!store_headers(row, column, message, headers, source, value))
				return false;
			break;

		case KAFKA_PART_JUNK:
		case KAFKA_PART_JUNK_ERROR:
		case KAFKA_PART_FIELD:
		case KAFKA_PART_NONE:
			pg_unreachable();
	}
	if (*isnull)
		*value = (Datum) 0;
	return kafka_row_check_domain(row, column, *value, *isnull);
}

/* What is wrong with a message, and the message. That a column is too short for it is an error. */
static void
store_junk(KafkaRow *row, const KafkaMessage *message, Datum *values, bool *isnull)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(row->rowcontext);
	const char *notes = row->failure.notes.data;
	KafkaFailure failure = {0};

	for (int i = row->ncolumns - row->njunk; i < row->ncolumns; i++)
	{
		RowColumn  *column = &row->columns[i];
		int			attr = column->attnum - 1;

		row->column = column;
		if (column->part == KAFKA_PART_JUNK)
			(void) KafkaDatumRead(column->reader, message->value, message->valuelen, &failure,
								  &values[attr], &isnull[attr]);
		else
			(void) KafkaDatumReadText(column->reader, notes, strlen(notes), &failure,
									  &values[attr], &isnull[attr]);
	}
	row->column = NULL;
	MemoryContextSwitchTo(oldcontext);
}

/* Count a row that is left out, and remember the first one, of which an error can quote a lot. */
static void
skip_row(KafkaRow *row, const KafkaMessage *message)
{
	const char *notes = row->failure.notes.data;
	int			len = (int) strcspn(notes, "\n");

	if (row->nskipped++ > 0)
		return;
	len = pg_mbcliplen(notes, len, MAX_SKIPPED_NOTE);
	row->first_skipped = MemoryContextAlloc(row->context, MAX_SKIPPED_NOTE + 100);
	snprintf(row->first_skipped, MAX_SKIPPED_NOTE + 100, "partition %d, offset %lld: %.*s",
			 message->partition, (long long) message->offset, len, notes);
}

/* What was noted of a message: whether its row is to be shown. */
static bool
settle_failure(KafkaRow *row, const KafkaMessage *message, TupleTableSlot *slot)
{
	if (row->skip)
	{
		skip_row(row, message);
		return false;
	}
	store_junk(row, message, slot->tts_values, slot->tts_isnull);
	return true;
}

bool
KafkaRowStore(KafkaRow *row, const KafkaMessage *message, KafkaHeadersFn headers,
			  void *source, TupleTableSlot *slot)
{
	ErrorContextCallback callback;
	bool		shown = true;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	MemoryContextReset(row->rowcontext);
	KafkaFailureReset(&row->failure);

	row->message = message;
	kafka_row_push_context(row, &callback);
	for (int i = 0; i < row->ncolumns - row->njunk; i++)
	{
		RowColumn  *column = &row->columns[i];
		int			attr = column->attnum - 1;

		row->column = column;
		if (!store_part(row, column, message, headers, source, &slot->tts_values[attr],
						&slot->tts_isnull[attr]))
			slot->tts_isnull[attr] = true;
	}
	row->column = NULL;

	/* A message without a value has no fields, which is not a fault. */
	if ((row->value_fields && message->value != NULL) ||
		(row->key_fields && message->key != NULL))
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(row->rowcontext);

		row->format->read(row->format_state, message, slot->tts_values, slot->tts_isnull,
						  &row->failure);
		row->failure.column = NULL;
		MemoryContextSwitchTo(oldcontext);
	}
	if (unlikely(row->failure.failed))
		shown = settle_failure(row, message, slot);
	kafka_row_pop_context(&callback);
	row->message = NULL;

	if (shown)
		ExecStoreVirtualTuple(slot);
	return shown;
}

KafkaChange
KafkaRowChange(const KafkaRow *row, const KafkaMessage *message, const bool **unavailable)
{
	*unavailable = NULL;
	if (message->value == NULL)
		return KAFKA_CHANGE_DELETE;
	if (row->format == NULL || row->format->change == NULL)
		return KAFKA_CHANGE_UPSERT;
	return row->format->change(row->format_state, unavailable);
}

int64
KafkaRowSkipped(const KafkaRow *row)
{
	return row->nskipped;
}

void
KafkaRowWarnSkipped(const KafkaRow *row, int64 skipped)
{
	if (skipped > 0)
		ereport(WARNING,
				(errmsg_plural("%lld message could not be decoded and was left out of foreign table \"%s\"",
							   "%lld messages could not be decoded and were left out of foreign table \"%s\"",
							   skipped, (long long) skipped, row->relname),
				 row->first_skipped
				 ? errdetail("The first one is in topic \"%s\", %s.", row->topic, row->first_skipped)
				 : 0));
}
