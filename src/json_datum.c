/*
 * json_datum.c
 *		Datums as JSON, and arrays and composites of JSON.
 *
 * Arrays and composites are read by PostgreSQL itself: json_to_record() is called for a record of
 * one column, so dimensions, nested rows, domains and what is NULL are as json_populate_record() has
 * them, in every version. It parses the text again, which is what such a column costs.
 *
 * They are written here, level by level, not by to_json(): that would call a type's cast to json
 * where it has one, whose result the type's input function does not read again (hstore), and print
 * numbers, intervals and bytea by the session's settings.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/base64.h"
#include "common/jsonapi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "compat.h"
#include "datum.h"
#include "json.h"
#include "json_datum.h"

bool
KafkaJsonIsNested(Oid type)
{
	type = getBaseType(type);
	return OidIsValid(get_element_type(type)) || get_typtype(type) == TYPTYPE_COMPOSITE;
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

struct KafkaJsonPopulator
{
	StringInfoData prefix;		/* an object's beginning: {"column": */
	TupleDesc	desc;			/* of that column */
	FmgrInfo	function;		/* json_to_record */
	MemoryContext context;		/* what the function keeps from call to call */
};

typedef struct PopulateCall
{
	KafkaJsonPopulator *populator;
	Datum		json;
	Datum		value;
	bool		isnull;
} PopulateCall;

KafkaJsonPopulator *
KafkaJsonOpenPopulate(const char *column, Oid type, int32 typmod)
{
	KafkaJsonPopulator *populator = palloc0(sizeof(KafkaJsonPopulator));

	initStringInfo(&populator->prefix);
	appendStringInfoChar(&populator->prefix, '{');
	KafkaJsonAppendString(&populator->prefix, column, strlen(column));
	appendStringInfoChar(&populator->prefix, ':');

	populator->desc = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(populator->desc, 1, column, type, typmod, 0);
	BlessTupleDesc(populator->desc);

	populator->context = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw json",
											   ALLOCSET_SMALL_SIZES);
	fmgr_info_cxt(F_JSON_TO_RECORD, &populator->function, populator->context);
	return populator;
}

static void
call_populate(void *arg)
{
	PopulateCall *call = arg;
	ReturnSetInfo result = {T_ReturnSetInfo};
	HeapTupleHeader record;
	HeapTupleData tuple;

	LOCAL_FCINFO(fcinfo, 1);

	/* The function finds its result's columns here. */
	result.expectedDesc = call->populator->desc;
	result.allowedModes = SFRM_ValuePerCall;
	InitFunctionCallInfoData(*fcinfo, &call->populator->function, 1, InvalidOid, NULL,
							 (Node *) &result);
	fcinfo->args[0].value = call->json;
	fcinfo->args[0].isnull = false;
	record = DatumGetHeapTupleHeader(FunctionCallInvoke(fcinfo));

	tuple.t_len = HeapTupleHeaderGetDatumLength(record);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = record;
	call->value = heap_getattr(&tuple, 1, call->populator->desc, &call->isnull);
}

bool
KafkaJsonPopulate(KafkaJsonPopulator *populator, const char *json, Size size,
				  KafkaFailure *failure, Datum *value, bool *isnull)
{
	PopulateCall call = {populator};
	Size		before = populator->prefix.len;
	text	   *object;

	if (size > MaxAllocSize - VARHDRSZ - before - 1)
	{
		KafkaFailureReport(failure, ERRCODE_PROGRAM_LIMIT_EXCEEDED, NULL,
						   "%zu bytes are too many for one value", size);
		return false;
	}
	object = palloc(VARHDRSZ + before + size + 1);
	SET_VARSIZE(object, VARHDRSZ + before + size + 1);
	memcpy(VARDATA(object), populator->prefix.data, before);
	memcpy(VARDATA(object) + before, json, size);
	VARDATA(object)[before + size] = '}';

	call.json = PointerGetDatum(object);
	if (!KafkaFailureTry(failure, call_populate, &call))
	{
		/* The function may have been left with half of what it keeps. */
		MemoryContextReset(populator->context);
		fmgr_info_cxt(F_JSON_TO_RECORD, &populator->function, populator->context);
		return false;
	}
	*value = call.value;
	*isnull = call.isnull;
	return true;
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------ */

typedef enum OutputKind
{
	OUTPUT_BOOL,
	OUTPUT_INTEGER,
	OUTPUT_NUMBER,				/* where it is one: not NaN */
	OUTPUT_STRING,				/* a string that needs no escapes */
	OUTPUT_TIME,				/* date, timestamp, timestamptz */
	OUTPUT_UTC,					/* these, time, timetz */
	OUTPUT_INTERVAL,
	OUTPUT_BASE64,
	OUTPUT_OID,
	OUTPUT_JSON,				/* as it is */
	OUTPUT_TEXT,				/* a string whose datum is its text */
	OUTPUT_OTHER,				/* a string */
	OUTPUT_ARRAY,
	OUTPUT_COMPOSITE
} OutputKind;

struct KafkaJsonWriter
{
	Oid			type;			/* a domain's base type */
	KafkaJsonStyle style;
	OutputKind	output;
	KafkaDatumWriter *text;		/* number, json, other */
	KafkaJsonWriter *element;	/* array */
	int16		typlen;			/* of its elements ... */
	bool		typbyval;
	char		typalign;
	uint64		row_type;		/* composite: the version of it that the rest is for */
	KafkaJsonWriter **attributes;	/* NULL for dropped ones */
	MemoryContext context;		/* where they are */
};

static OutputKind
choose_output(Oid type, KafkaJsonStyle style)
{
	switch (style == KAFKA_JSON_PLAIN ? InvalidOid : type)
	{
		case NUMERICOID:
			return style == KAFKA_JSON_CHANGE ? OUTPUT_STRING : OUTPUT_NUMBER;
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return OUTPUT_UTC;
		case INTERVALOID:
			return OUTPUT_INTERVAL;
		case BYTEAOID:
			return OUTPUT_BASE64;
		case OIDOID:
			return OUTPUT_OID;
	}
	switch (type)
	{
		case BOOLOID:
			return OUTPUT_BOOL;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return OUTPUT_INTEGER;
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return OUTPUT_NUMBER;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return OUTPUT_TIME;
		case JSONOID:
		case JSONBOID:
			return OUTPUT_JSON;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return OUTPUT_TEXT;
	}
	if (OidIsValid(get_element_type(type)))
		return OUTPUT_ARRAY;
	if (get_typtype(type) == TYPTYPE_COMPOSITE)
		return OUTPUT_COMPOSITE;
	return OUTPUT_OTHER;
}

KafkaJsonWriter *
KafkaJsonOpenWrite(Oid type, KafkaJsonStyle style)
{
	KafkaJsonWriter *writer = palloc0(sizeof(KafkaJsonWriter));

	/* The types of attributes and elements are as deep as somebody has nested them. */
	check_stack_depth();
	writer->type = getBaseType(type);
	writer->style = style;
	writer->output = choose_output(writer->type, style);
	switch (writer->output)
	{
		case OUTPUT_NUMBER:
		case OUTPUT_STRING:
		case OUTPUT_JSON:
		case OUTPUT_OTHER:
			writer->text = style == KAFKA_JSON_PLAIN
				? KafkaDatumOpenWrite(writer->type, GetDatabaseEncoding())
				: KafkaDatumOpenWriteSame(writer->type, GetDatabaseEncoding());
			break;

		case OUTPUT_ARRAY:
			{
				Oid			element = get_element_type(writer->type);

				writer->element = KafkaJsonOpenWrite(element, style);
				get_typlenbyvalalign(element, &writer->typlen, &writer->typbyval,
									 &writer->typalign);
			}
			break;

		case OUTPUT_COMPOSITE:
			writer->context = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw row type",
													ALLOCSET_SMALL_SIZES);
			break;

		default:
			break;
	}
	return writer;
}

static void
write_integer(Oid type, Datum value, StringInfo output)
{
	enlargeStringInfo(output, MAXINT8LEN + 1);
	if (type == INT8OID)
		output->len += pg_lltoa(DatumGetInt64(value), output->data + output->len);
	else if (type == INT4OID)
		output->len += pg_ltoa(DatumGetInt32(value), output->data + output->len);
	else
		output->len += pg_itoa(DatumGetInt16(value), output->data + output->len);
}

static void
write_number(KafkaJsonWriter *writer, Datum value, StringInfo output)
{
	Size		size;
	const char *text = KafkaDatumWriteText(writer->text, value, &size);

	if (IsValidJsonNumber(text, size))
		appendBinaryStringInfo(output, text, size);
	else
		KafkaJsonAppendString(output, text, size);
}

static void
write_time(Oid type, Datum value, StringInfo output)
{
	char		buffer[MAXDATELEN + 1];

	JsonEncodeDateTime(buffer, value, type, NULL);
	appendStringInfoChar(output, '"');
	appendStringInfoString(output, buffer);
	appendStringInfoChar(output, '"');
}

/* A time of day in UTC, or without a zone, and the letter that says so. */
static void
write_time_of_day(Oid type, Datum value, StringInfo output)
{
	char		buffer[MAXDATELEN + 1];
	TimeADT		time;

	if (type == TIMEOID)
		time = DatumGetTimeADT(value);
	else
	{
		TimeTzADT  *zoned = DatumGetTimeTzADTP(value);

		time = zoned->time + zoned->zone * USECS_PER_SEC;
		/* 24:00:00 is a time. */
		if (time < 0)
			time += USECS_PER_DAY;
		else if (time > USECS_PER_DAY)
			time -= USECS_PER_DAY;
	}
	JsonEncodeDateTime(buffer, TimeADTGetDatum(time), TIMEOID, NULL);
	appendStringInfo(output, type == TIMEOID ? "\"%s\"" : "\"%sZ\"", buffer);
}

/* A date or time in UTC. Before Christ the letter for it stands before the era. */
static void
write_utc(Oid type, Datum value, StringInfo output)
{
	char		buffer[MAXDATELEN + 1];
	char	   *era;

	if (type == TIMEOID || type == TIMETZOID)
	{
		write_time_of_day(type, value, output);
		return;
	}
	if (type != TIMESTAMPTZOID || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
	{
		write_time(type, value, output);
		return;
	}
	JsonEncodeDateTime(buffer, value, TIMESTAMPOID, NULL);
	era = strchr(buffer, ' ');
	appendStringInfoCharMacro(output, '"');
	if (era == NULL)
	{
		appendStringInfoString(output, buffer);
		appendStringInfoString(output, "Z\"");
	}
	else
		appendStringInfo(output, "%.*sZ%s\"", (int) (era - buffer), buffer, era);
}

static void
write_interval(Datum value, StringInfo output)
{
	Interval   *interval = DatumGetIntervalP(value);
	char		buffer[MAXDATELEN + 1];
	const char *text = kafka_interval_infinity(interval);

	if (text == NULL)
	{
		struct pg_itm itm;

		interval2itm(*interval, &itm);
		EncodeInterval(&itm, INTSTYLE_ISO_8601, buffer);
		text = buffer;
	}
	appendStringInfo(output, "\"%s\"", text);
}

static void
write_base64(Datum value, StringInfo output)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);
	int			size = VARSIZE_ANY_EXHDR(bytes);
	int64		room = ((int64) size + 2) / 3 * 4 + 3;

	if (room > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d bytes are too many for a JSON string", size)));
	enlargeStringInfo(output, (int) room);
	appendStringInfoCharMacro(output, '"');
	output->len += pg_b64_encode((const void *) VARDATA_ANY(bytes), size,
								 output->data + output->len, (int) room - 2);
	appendStringInfoChar(output, '"');
}

/* The elements of one dimension, from *next on. */
static void
write_dimension(KafkaJsonWriter *writer, int ndims, const int *dims, Datum *values, bool *nulls,
				int *next, StringInfo output)
{
	appendStringInfoChar(output, '[');
	for (int i = 0; i < dims[0]; i++)
	{
		if (i > 0)
			appendStringInfoChar(output, ',');
		if (ndims > 1)
			write_dimension(writer, ndims - 1, dims + 1, values, nulls, next, output);
		else
		{
			if (nulls[*next])
				appendStringInfoString(output, "null");
			else
				KafkaJsonWrite(writer->element, values[*next], output);
			(*next)++;
		}
	}
	appendStringInfoChar(output, ']');
}

static void
write_array(KafkaJsonWriter *writer, Datum value, StringInfo output)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *values;
	bool	   *nulls;
	int			nvalues;
	int			next = 0;

	if (ARR_NDIM(array) == 0)
	{
		appendStringInfoString(output, "[]");
		return;
	}
	deconstruct_array(array, ARR_ELEMTYPE(array), writer->typlen, writer->typbyval,
					  writer->typalign, &values, &nulls, &nvalues);
	write_dimension(writer, ARR_NDIM(array), ARR_DIMS(array), values, nulls, &next, output);
}

/* Writers for the attributes of a row type, which ALTER TYPE may change under us. */
static void
open_attributes(KafkaJsonWriter *writer, TupleDesc desc)
{
	uint64		row_type = assign_record_type_identifier(desc->tdtypeid, desc->tdtypmod);
	MemoryContext oldcontext;

	if (row_type == writer->row_type)
		return;
	writer->row_type = 0;
	MemoryContextReset(writer->context);
	oldcontext = MemoryContextSwitchTo(writer->context);
	writer->attributes = palloc0(Max(desc->natts, 1) * sizeof(KafkaJsonWriter *));
	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			writer->attributes[i] = KafkaJsonOpenWrite(TupleDescAttr(desc, i)->atttypid,
													   writer->style);
	}
	MemoryContextSwitchTo(oldcontext);
	writer->row_type = row_type;
}

static void
write_composite(KafkaJsonWriter *writer, Datum value, StringInfo output)
{
	HeapTupleHeader record = DatumGetHeapTupleHeader(value);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(record),
											  HeapTupleHeaderGetTypMod(record));
	HeapTupleData tuple;
	bool		first = true;

	open_attributes(writer, desc);
	tuple.t_len = HeapTupleHeaderGetDatumLength(record);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = record;

	appendStringInfoChar(output, '{');
	for (int i = 0; i < desc->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(desc, i)->attname);
		Datum		attribute;
		bool		isnull;

		if (writer->attributes[i] == NULL)
			continue;
		if (!first)
			appendStringInfoChar(output, ',');
		first = false;
		KafkaJsonAppendString(output, name, strlen(name));
		appendStringInfoChar(output, ':');
		attribute = heap_getattr(&tuple, i + 1, desc, &isnull);
		if (isnull)
			appendStringInfoString(output, "null");
		else
			KafkaJsonWrite(writer->attributes[i], attribute, output);
	}
	appendStringInfoChar(output, '}');
	ReleaseTupleDesc(desc);
}

void
KafkaJsonWrite(KafkaJsonWriter *writer, Datum value, StringInfo output)
{
	const char *text;
	Size		size;

	switch (writer->output)
	{
		case OUTPUT_BOOL:
			appendStringInfoString(output, DatumGetBool(value) ? "true" : "false");
			break;

		case OUTPUT_INTEGER:
			write_integer(writer->type, value, output);
			break;

		case OUTPUT_NUMBER:
			write_number(writer, value, output);
			break;

		case OUTPUT_TIME:
			write_time(writer->type, value, output);
			break;

		case OUTPUT_STRING:
			text = KafkaDatumWriteText(writer->text, value, &size);
			appendStringInfoCharMacro(output, '"');
			appendBinaryStringInfo(output, text, size);
			appendStringInfoChar(output, '"');
			break;

		case OUTPUT_UTC:
			write_utc(writer->type, value, output);
			break;

		case OUTPUT_INTERVAL:
			write_interval(value, output);
			break;

		case OUTPUT_BASE64:
			write_base64(value, output);
			break;

		case OUTPUT_OID:
			appendStringInfo(output, "%u", DatumGetObjectId(value));
			break;

		case OUTPUT_JSON:
			text = KafkaDatumWriteText(writer->text, value, &size);
			appendBinaryStringInfo(output, text, size);
			break;

		case OUTPUT_TEXT:
			{
				struct varlena *datum = PG_DETOAST_DATUM_PACKED(value);

				KafkaJsonAppendString(output, VARDATA_ANY(datum), VARSIZE_ANY_EXHDR(datum));
			}
			break;

		case OUTPUT_OTHER:
			text = KafkaDatumWriteText(writer->text, value, &size);
			KafkaJsonAppendString(output, text, size);
			break;

		case OUTPUT_ARRAY:
			check_stack_depth();
			write_array(writer, value, output);
			break;

		case OUTPUT_COMPOSITE:
			check_stack_depth();
			write_composite(writer, value, output);
			break;
	}
}
