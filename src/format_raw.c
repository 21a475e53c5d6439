/*
 * format_raw.c
 *		A key or a value as one datum of any type: the whole of the bytes, and back.
 *
 * text and bytea, which nearly all topics are read as, cost one copy and no allocation: their
 * datum is built in a buffer of the reader that every row uses again. A datum larger than
 * KEEP_BUFFER goes to the row's context instead, so that one huge message does not stay in memory
 * for as long as the scan.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "format_raw.h"
#include "text.h"

#define KEEP_BUFFER (1024 * 1024)
#define FIRST_BUFFER 1024

struct KafkaRawReader
{
	bool		bytes;			/* bytea: not text at all */
	bool		varlena;		/* the text is the datum: text, varchar of any length */
	int32		typmod;
	int32		max_chars;		/* varchar(n): text of no more bytes needs no look; or -1 */
	KafkaText	text;
	Oid			ioparam;
	FmgrInfo	input;			/* of all types that are not of the above */
	MemoryContext context;		/* the reader's own */
	MemoryContext rowcontext;
	struct varlena *buffer;
	Size		size;			/* of the buffer */
};

struct KafkaRawWriter
{
	bool		bytes;
	bool		varlena;
	bool		settings;		/* the output depends on settings */
	int			encoding;
	FmgrInfo	output;
};

/* Types whose datum is their text, without a further check. */
static bool
is_plain_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID;
}

KafkaRawReader *
KafkaRawOpenRead(Oid type, int32 typmod, int encoding, KafkaInvalidText invalid,
				 MemoryContext rowcontext)
{
	KafkaRawReader *reader = palloc0(sizeof(KafkaRawReader));
	Oid			input;

	reader->bytes = type == BYTEAOID;
	reader->varlena = is_plain_text(type);
	reader->typmod = typmod;
	reader->max_chars = -1;
	if (type == VARCHAROID && typmod >= (int32) VARHDRSZ)
		reader->max_chars = typmod - VARHDRSZ;
	reader->context = CurrentMemoryContext;
	reader->rowcontext = rowcontext;

	if (!reader->bytes)
		KafkaTextInit(&reader->text, encoding, invalid);
	getTypeInputInfo(type, &input, &reader->ioparam);
	fmgr_info(input, &reader->input);
	return reader;
}

/* A varlena of the bytes, in the reader's buffer. */
static struct varlena *
make_varlena(KafkaRawReader *reader, const char *data, Size len)
{
	Size		size = len + VARHDRSZ;
	struct varlena *result = reader->buffer;

	if (unlikely(size > reader->size))
	{
		if (size > MaxAllocSize)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%zu bytes are too many for one value", len)));
		if (size > KEEP_BUFFER)
			result = MemoryContextAlloc(reader->rowcontext, size);
		else
		{
			Size		larger = Max(FIRST_BUFFER, pg_nextpower2_size_t(size));

			if (reader->buffer != NULL)
				pfree(reader->buffer);
			reader->buffer = NULL;
			reader->size = 0;
			result = reader->buffer = MemoryContextAlloc(reader->context, larger);
			reader->size = larger;
		}
	}
	SET_VARSIZE(result, size);
	memcpy(VARDATA(result), data, len);
	return result;
}

bool
KafkaRawRead(KafkaRawReader *reader, const char *data, Size len, Datum *result)
{
	MemoryContext oldcontext;
	bool		isnull = false;

	if (data == NULL)
		return false;
	if (reader->bytes)
	{
		*result = PointerGetDatum(make_varlena(reader, data, len));
		return true;
	}

	oldcontext = MemoryContextSwitchTo(reader->rowcontext);
	if (!KafkaTextDecode(&reader->text, &data, &len))
		isnull = true;
	else if (reader->varlena && (reader->max_chars < 0 || len <= (Size) reader->max_chars))
		*result = PointerGetDatum(make_varlena(reader, data, len));
	else
	{
		char	   *string;

		if (len >= MaxAllocSize)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%zu bytes are too many for one value", len)));
		string = pnstrdup(data, len);
		*result = InputFunctionCall(&reader->input, string, reader->ioparam, reader->typmod);
	}
	MemoryContextSwitchTo(oldcontext);
	return !isnull;
}

/*
 * True where a type's output can depend on a setting: where its output function is not immutable,
 * and of the two that are called so in spite of extra_float_digits and IntervalStyle. Enum labels
 * are stable only since they can be renamed.
 */
static bool
output_depends_on_settings(Oid type, Oid output)
{
	if (type == FLOAT4OID || type == FLOAT8OID || type == INTERVALOID)
		return true;
	return func_volatile(output) != PROVOLATILE_IMMUTABLE && get_typtype(type) != TYPTYPE_ENUM;
}

KafkaRawWriter *
KafkaRawOpenWrite(Oid type, int encoding)
{
	KafkaRawWriter *writer = palloc0(sizeof(KafkaRawWriter));
	Oid			output;
	bool		varlena;

	writer->bytes = type == BYTEAOID;
	writer->varlena = is_plain_text(type) || type == JSONOID;
	writer->encoding = encoding;
	getTypeOutputInfo(type, &output, &varlena);
	fmgr_info(output, &writer->output);
	writer->settings = !writer->bytes && !writer->varlena &&
		output_depends_on_settings(type, output);
	return writer;
}

/*
 * As postgres_fdw does it: formats that any session reads the same way, and names with their schema
 * but for those of pg_catalog. Ended by AtEOXact_GUC, also by an error's.
 */
static int
fix_settings(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	}			settings[] = {
		{"datestyle", "ISO"},
		{"intervalstyle", "postgres"},
		{"extra_float_digits", "3"},
		{"bytea_output", "hex"},
		{"search_path", "pg_catalog"}
	};
	int			nestlevel = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i].name, settings[i].value, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

void
KafkaRawWrite(KafkaRawWriter *writer, Datum value, const char **data, Size *len)
{
	if (writer->bytes || writer->varlena)
	{
		struct varlena *datum = PG_DETOAST_DATUM_PACKED(value);

		*data = VARDATA_ANY(datum);
		*len = VARSIZE_ANY_EXHDR(datum);
	}
	else
	{
		int			nestlevel = writer->settings ? fix_settings() : 0;

		*data = OutputFunctionCall(&writer->output, value);
		*len = strlen(*data);
		if (writer->settings)
			AtEOXact_GUC(true, nestlevel);
	}
	if (!writer->bytes)
		KafkaTextEncode(writer->encoding, data, len);
}
