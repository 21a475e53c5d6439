/*
 * row.c
 *		A message and a row of a foreign table: which column is which part, and their conversion.
 *
 * A scan fills a slot's arrays from each message and stores it as a virtual tuple (row_read.c); an
 * INSERT makes a message of a row (row_write.c). Columns are parts of the message or, in formats
 * other than raw, fields of its value; a format fills all fields at once. Three lifetimes: what
 * lives as long as the scan is in the context that the row was opened in (buffers of text and
 * bytea, constants such as the topic's name); what input functions allocate is in rowcontext, reset
 * before each row; nothing goes into the context of the caller, which may keep it for as long as it
 * likes.
 *
 * A column of a domain gets what its base type would get, and then the domain's check; so a domain
 * over bytea gets the message's bytes and not what they mean in bytea's notation.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "compat.h"
#include "row_private.h"

/* The largest and smallest times of Kafka that PostgreSQL has, in ms since 1970. */
#define MIN_MS (MIN_TIMESTAMP / 1000 + EPOCH_DIFFERENCE_MS)
#define MAX_MS (END_TIMESTAMP / 1000 + EPOCH_DIFFERENCE_MS) /* exclusive */

/* Say which message, or which row, an error is about. */
static void
row_error_callback(void *arg)
{
	const KafkaRow *row = arg;
	const char *column = row->column ? row->column->name : row->failure.column;

	if (row->message != NULL && column != NULL)
		errcontext("column \"%s\" of foreign table \"%s\", topic \"%s\", partition %d, offset %lld",
				   column, row->relname, row->topic, row->message->partition,
				   (long long) row->message->offset);
	else if (row->message != NULL)
		errcontext("foreign table \"%s\", topic \"%s\", partition %d, offset %lld",
				   row->relname, row->topic, row->message->partition,
				   (long long) row->message->offset);
	else if (column == NULL)
		errcontext("foreign table \"%s\", row %lld", row->relname, (long long) row->nrows);
	else if (row->nrows == 0)
		errcontext("column \"%s\" of foreign table \"%s\"", column, row->relname);
	else
		errcontext("column \"%s\" of foreign table \"%s\", row %lld", column, row->relname,
				   (long long) row->nrows);
}

void
kafka_row_push_context(KafkaRow *row, ErrorContextCallback *callback)
{
	callback->callback = row_error_callback;
	callback->arg = row;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

void
kafka_row_pop_context(ErrorContextCallback *callback)
{
	error_context_stack = callback->previous;
}

static void
init_part(RowColumn *column, Form_pg_attribute attr, KafkaPart part)
{
	column->part = part;
	column->attnum = attr->attnum;
	column->name = pstrdup(NameStr(attr->attname));
	column->declared = attr->atttypid;
	column->typmod = attr->atttypmod;
	column->type = getBaseTypeAndTypmod(attr->atttypid, &column->typmod);
	if (column->type != attr->atttypid && DomainHasConstraints(attr->atttypid))
		column->domain_context = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw domain",
													   ALLOCSET_SMALL_SIZES);
}

static void
init_field(KafkaField *field, Form_pg_attribute attr, const KafkaColumn *column, int position)
{
	field->column = pstrdup(NameStr(attr->attname));
	field->attnum = attr->attnum;
	field->path = column->path;
	field->in_key = column->in_key;
	field->in_envelope = column->in_envelope;
	field->force_not_null = column->force_not_null;
	field->force_null = column->force_null;
	field->position = position;
	field->type = attr->atttypid;
	field->typmod = attr->atttypmod;
}

KafkaRow *
kafka_row_open(Relation rel, const KafkaTable *table, bool soft)
{
	KafkaRow   *row = palloc0(sizeof(KafkaRow));
	TupleDesc	desc = RelationGetDescr(rel);

	row->relname = pstrdup(RelationGetRelationName(rel));
	row->topic = table->topic;
	row->context = CurrentMemoryContext;
	row->rowcontext = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw row",
											ALLOCSET_DEFAULT_SIZES);
	row->columns = palloc0(desc->natts * sizeof(RowColumn));
	row->fields = palloc0(desc->natts * sizeof(KafkaField));
	row->sent_timestamp = KAFKA_NO_TIMESTAMP;
	KafkaFailureInit(&row->failure, soft);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		KafkaColumn column;

		KafkaOptionGetColumn(RelationGetRelid(rel), attr->attnum, table->format, &column);
		if (column.part == KAFKA_PART_FIELD)
		{
			init_field(&row->fields[row->nfields], attr, &column, row->nfields);
			row->nfields++;
		}
		else if (column.part != KAFKA_PART_NONE)
			init_part(&row->columns[row->ncolumns++], attr, column.part);
	}
	return row;
}

void
kafka_row_want_field(KafkaRow *row, KafkaField *field)
{
	field->wanted = true;
	if (field->in_key)
		row->key_fields = true;
	else
		row->value_fields = true;
}

const KafkaFormat *
kafka_row_format(const KafkaTable *table)
{
	switch (table->format)
	{
		case KAFKA_FORMAT_JSON:
			return &KafkaFormatJson;
		case KAFKA_FORMAT_CSV:
			return &KafkaFormatCsv;
		case KAFKA_FORMAT_DEBEZIUM:
			return &KafkaFormatDebezium;
		case KAFKA_FORMAT_RAW:
			break;
	}
	elog(ERROR, "format raw has no fields");
}

/* True where a type's values can be made in a parallel worker. */
static bool
type_is_parallel_safe(Oid type)
{
	Oid			element = get_element_type(type);
	Oid			input;
	Oid			ioparam;

	if (OidIsValid(element))
		type = element;
	/* A check may call anything, as PostgreSQL says where it converts to a domain itself. */
	if (get_typtype(type) == TYPTYPE_DOMAIN && DomainHasConstraints(type))
		return false;
	getTypeInputInfo(getBaseType(type), &input, &ioparam);
	return func_parallel(input) == PROPARALLEL_SAFE;
}

bool
KafkaRowIsParallelSafe(Relation rel, const KafkaTable *table)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (table->on_error != KAFKA_ON_ERROR_STOP && !KAFKA_HAS_PARALLEL_SUBTRANSACTIONS)
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped && !type_is_parallel_safe(attr->atttypid))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------------
 * Parts as datums, for the rows of a scan and for RETURNING
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

void
kafka_row_make_constants(KafkaRow *row, RowColumn *column)
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

/* That the column is too small is no fault of the message, so it is always an error. */
Datum
kafka_row_integer(const RowColumn *column, int64 value)
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

/* Some producers count in other units and send times beyond PostgreSQL's. */
bool
kafka_row_time(KafkaRow *row, const RowColumn *column, int64 ms, Datum *value)
{
	if (ms < MIN_MS || ms >= MAX_MS)
	{
		KafkaFailureReport(&row->failure, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
						   psprintf("The message's timestamp is %lld milliseconds since 1970.",
									(long long) ms), "timestamp out of range");
		return false;
	}
	*value = TimestampTzGetDatum((ms - EPOCH_DIFFERENCE_MS) * 1000);
	if (column->typmod >= 0)
		*value = DirectFunctionCall2(timestamptz_scale, *value, Int32GetDatum(column->typmod));
	return true;
}
