/*
 * datum.c
 *		Bytes of a message as one datum of any type, and back.
 *
 * text and bytea, which nearly all topics are read as, cost one copy and no allocation: their
 * datum is built in a buffer of the reader that every row uses again. A datum larger than
 * KEEP_BUFFER goes to the row's context instead, so that one huge message does not stay in memory
 * for as long as the scan. The most usual spellings of integers, floats and booleans are read
 * without the type's input function, which has to be given a string of its own and to be called
 * through fmgr; whatever else they may be written as, and whatever is wrong, is for that function.
 *
 * A domain is its base type's datum, and then the domain's check.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "datum.h"
#include "datum_short.h"
#include "text.h"

#define KEEP_BUFFER (1024 * 1024)
#define FIRST_BUFFER 1024

struct KafkaDatumReader
{
	Oid			type;			/* a domain's base type */
	Oid			domain;			/* or InvalidOid: nothing is checked */
	int32		max_chars;		/* varchar(n): text of no more bytes needs no look; or -1 */
	KafkaText	text;
	KafkaInput	input;			/* of types that are not text, and of what has no short cut */
	MemoryContext context;		/* the reader's own */
	MemoryContext rowcontext;
	struct varlena *buffer;
	Size		size;			/* of the buffer */
	void	   *domain_cache;
	MemoryContext domain_context;
};

/* The settings that an output function may look at: a sum of these. */
#define SETTINGS_NONE 0
#define SETTINGS_STYLE 1		/* of dates, intervals, floating-point numbers and bytea */
#define SETTINGS_PATH 2
#define SETTINGS_ZONE 4			/* these two where the text is to be the same for all sessions */
#define SETTINGS_MONEY 8

struct KafkaDatumWriter
{
	bool		bytes;
	bool		varlena;
	int			settings;		/* that the output depends on */
	int			encoding;
	FmgrInfo	output;
};

KafkaDatumReader *
KafkaDatumOpenRead(Oid type, int32 typmod, int encoding, KafkaInvalidText invalid,
				   MemoryContext rowcontext)
{
	KafkaDatumReader *reader = palloc0(sizeof(KafkaDatumReader));

	reader->type = getBaseTypeAndTypmod(type, &typmod);
	reader->max_chars = -1;
	if (reader->type == VARCHAROID && typmod >= (int32) VARHDRSZ)
		reader->max_chars = typmod - VARHDRSZ;
	reader->context = CurrentMemoryContext;
	reader->rowcontext = rowcontext;
	if (reader->type != type && DomainHasConstraints(type))
	{
		reader->domain = type;
		reader->domain_context = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw domain",
													   ALLOCSET_SMALL_SIZES);
	}
	if (reader->type != BYTEAOID)
		KafkaTextInit(&reader->text, encoding, invalid);
	KafkaFailureOpenInput(&reader->input, reader->type, typmod);
	return reader;
}

/* Report more bytes than a datum can have; false. */
static bool
too_large(Size len, KafkaFailure *failure)
{
	KafkaFailureReport(failure, ERRCODE_PROGRAM_LIMIT_EXCEEDED, NULL,
					   "%zu bytes are too many for one value", len);
	return false;
}

/* A varlena of the bytes, in the reader's buffer. */
static bool
make_varlena(KafkaDatumReader *reader, const char *data, Size len, KafkaFailure *failure,
			 Datum *value)
{
	Size		size = len + VARHDRSZ;
	struct varlena *result = reader->buffer;

	if (unlikely(size > reader->size))
	{
		if (size > MaxAllocSize)
			return too_large(len, failure);
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
	*value = PointerGetDatum(result);
	return true;
}

/* ------------------------------------------------------------------------
 * Short cuts past input functions: false where there is none for this text
 * ------------------------------------------------------------------------ */

/* A decimal integer of at most 18 digits, which no int64 is too small for. */
static inline bool
short_integer(const char *text, Size len, int64 *result)
{
	const char *end = text + len;
	bool		negative = len > 0 && *text == '-';
	int64		number = 0;

	text += negative;
	if (text == end || end - text > 18)
		return false;
	for (; text < end; text++)
	{
		unsigned	digit = (unsigned char) *text - '0';

		if (digit > 9)
			return false;
		number = number * 10 + digit;
	}
	*result = negative ? -number : number;
	return true;
}

/*
 * A decimal fraction without an exponent, as an integer and the power of ten that divides it. Both
 * are exact in the floating-point type if they are below its limits, and one division of exact
 * numbers is rounded as the text would be.
 */
static inline bool
short_fraction(const char *text, Size len, int64 max_integer, int max_power, bool *negative,
			   int64 *integer, int *power)
{
	const char *end = text + len;
	const char *point = NULL;
	int			ndigits = 0;
	int64		number = 0;

	*negative = len > 0 && *text == '-';
	for (text += *negative; text < end; text++)
	{
		unsigned	digit = (unsigned char) *text - '0';

		if (digit <= 9)
		{
			if (++ndigits > 18)
				return false;
			number = number * 10 + digit;
		}
		else if (*text == '.' && point == NULL && ndigits > 0)
			point = text + 1;
		else
			return false;
	}
	if (ndigits == 0 || point == end)
		return false;
	*integer = number;
	*power = point ? (int) (end - point) : 0;
	return number <= max_integer && *power <= max_power;
}

static const double powers_of_ten[] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};

static inline bool
short_float8(const char *text, Size len, Datum *value)
{
	bool		negative;
	int64		integer;
	int			power;
	double		result;

	if (!short_fraction(text, len, INT64CONST(1) << 53, 22, &negative, &integer, &power))
		return false;
	result = (double) integer / powers_of_ten[power];
	*value = Float8GetDatum(negative ? -result : result);
	return true;
}

static inline bool
short_float4(const char *text, Size len, Datum *value)
{
	bool		negative;
	int64		integer;
	int			power;
	float		result;

	if (!short_fraction(text, len, 1 << 24, 10, &negative, &integer, &power))
		return false;
	result = (float) integer / (float) powers_of_ten[power];
	*value = Float4GetDatum(negative ? -result : result);
	return true;
}

static inline bool
short_bool(const char *text, Size len, Datum *value)
{
	bool		truth = (len == 1 && *text == 't') || (len == 4 && memcmp(text, "true", 4) == 0);

	*value = BoolGetDatum(truth);
	return truth || (len == 1 && *text == 'f') || (len == 5 && memcmp(text, "false", 5) == 0);
}

/* The datum of a text of one of the types that have short cuts. */
static inline bool
short_cut(Oid type, int32 typmod, const char *text, Size len, Datum *value)
{
	int64		number;

	switch (type)
	{
		case INT4OID:
			if (!short_integer(text, len, &number) || number != (int32) number)
				return false;
			*value = Int32GetDatum((int32) number);
			return true;
		case INT8OID:
			if (!short_integer(text, len, &number))
				return false;
			*value = Int64GetDatum(number);
			return true;
		case INT2OID:
			if (!short_integer(text, len, &number) || number != (int16) number)
				return false;
			*value = Int16GetDatum((int16) number);
			return true;
		case FLOAT8OID:
			return short_float8(text, len, value);
		case FLOAT4OID:
			return short_float4(text, len, value);
		case BOOLOID:
			return short_bool(text, len, value);
		case NUMERICOID:
			return typmod < 0 && KafkaDatumShortNumeric(text, len, value);
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return typmod < 0 && KafkaDatumShortTime(type, text, len, value);
	}
	return false;
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

/* The datum of the base type, of text of the database. */
static bool
read_text(KafkaDatumReader *reader, const char *text, Size len, KafkaFailure *failure,
		  Datum *value)
{
	char	   *string;

	switch (reader->type)
	{
		case VARCHAROID:
			if (reader->max_chars >= 0 && len > (Size) reader->max_chars)
				break;
			/* FALLTHROUGH */
		case TEXTOID:
			return make_varlena(reader, text, len, failure, value);
		default:
			if (short_cut(reader->type, reader->input.typmod, text, len, value))
				return true;
	}

	if (len >= MaxAllocSize)
		return too_large(len, failure);
	string = pnstrdup(text, len);
	return KafkaFailureInput(failure, &reader->input, string, value);
}

/* The domain's opinion of what was read. */
static inline bool
check_domain(KafkaDatumReader *reader, KafkaFailure *failure, Datum value, bool isnull)
{
	if (likely(!OidIsValid(reader->domain)))
		return true;
	return KafkaFailureDomain(failure, value, isnull, reader->domain, &reader->domain_cache,
							  reader->domain_context);
}

bool
KafkaDatumReadText(KafkaDatumReader *reader, const char *text, Size len, KafkaFailure *failure,
				   Datum *value, bool *isnull)
{
	*isnull = text == NULL;
	*value = (Datum) 0;
	if (text != NULL && !read_text(reader, text, len, failure, value))
		return false;
	return check_domain(reader, failure, *value, *isnull);
}

bool
KafkaDatumRead(KafkaDatumReader *reader, const char *data, Size len, KafkaFailure *failure,
			   Datum *value, bool *isnull)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(reader->rowcontext);
	bool		ok = true;

	*isnull = data == NULL;
	*value = (Datum) 0;
	if (data != NULL && reader->type == BYTEAOID)
		ok = make_varlena(reader, data, len, failure, value);
	else if (data != NULL)
	{
		if (KafkaTextDecode(&reader->text, &data, &len))
			ok = read_text(reader, data, len, failure, value);
		else if (reader->text.invalid == KAFKA_INVALID_NULL)
			*isnull = true;
		else
		{
			KafkaTextReport(&reader->text, data, len,
							"Declare the column as bytea, or set the table's option invalid_text "
							"to escape or null.", failure);
			ok = false;
		}
	}
	ok = ok && check_domain(reader, failure, *value, *isnull);
	MemoryContextSwitchTo(oldcontext);
	return ok;
}

/* ------------------------------------------------------------------------
 * Sending
 * ------------------------------------------------------------------------ */

/*
 * What a type's output can depend on. Some functions are called immutable in spite of
 * extra_float_digits, IntervalStyle and bytea_output, those of the geometric types and of
 * extensions among them; enum labels are stable only since they can be renamed. A range's output
 * depends on what its subtype's does.
 */
static int
settings_of(Oid type, bool same)
{
	Oid			output;
	bool		varlena;

	switch (type)
	{
		case TIMESTAMPTZOID:
			return SETTINGS_STYLE | (same ? SETTINGS_ZONE : 0);
		case DATEOID:
		case TIMESTAMPOID:
		case INTERVALOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case BYTEAOID:
		case POINTOID:
		case LSEGOID:
		case PATHOID:
		case BOXOID:
		case POLYGONOID:
		case LINEOID:
		case CIRCLEOID:
			return SETTINGS_STYLE;
	}
	switch (get_typtype(type))
	{
		case TYPTYPE_ENUM:
			return SETTINGS_NONE;
		case TYPTYPE_RANGE:
			return settings_of(getBaseType(get_range_subtype(type)), same);
		case TYPTYPE_MULTIRANGE:
			return settings_of(get_multirange_range(type), same);
	}
	getTypeOutputInfo(type, &output, &varlena);
	if (func_volatile(output) == PROVOLATILE_IMMUTABLE)
		return type < FirstNormalObjectId ? SETTINGS_NONE : SETTINGS_STYLE;
	return SETTINGS_STYLE | SETTINGS_PATH | (same ? SETTINGS_ZONE | SETTINGS_MONEY : 0);
}

static KafkaDatumWriter *
open_write(Oid type, int encoding, bool same)
{
	KafkaDatumWriter *writer = palloc0(sizeof(KafkaDatumWriter));
	Oid			output;
	bool		varlena;

	type = getBaseType(type);
	writer->bytes = type == BYTEAOID;
	writer->varlena = type == TEXTOID || type == VARCHAROID || type == JSONOID;
	writer->encoding = encoding;
	getTypeOutputInfo(type, &output, &varlena);
	fmgr_info(output, &writer->output);
	writer->settings = settings_of(type, same);
	return writer;
}

KafkaDatumWriter *
KafkaDatumOpenWrite(Oid type, int encoding)
{
	return open_write(type, encoding, false);
}

KafkaDatumWriter *
KafkaDatumOpenWriteSame(Oid type, int encoding)
{
	return open_write(type, encoding, true);
}

/* The settings of a kind that the session has as they should be, as far as that is told cheaply. */
static int
settings_fixed(void)
{
	int			fixed = SETTINGS_NONE;

	if (DateStyle == USE_ISO_DATES && IntervalStyle == INTSTYLE_POSTGRES &&
		extra_float_digits > 0 && bytea_output == BYTEA_OUTPUT_HEX)
		fixed |= SETTINGS_STYLE;
	if (session_timezone != NULL && strcmp(pg_get_timezone_name(session_timezone), "UTC") == 0)
		fixed |= SETTINGS_ZONE;
	return fixed;
}

/*
 * As postgres_fdw does it: formats that any session reads the same way, and names with their schema
 * but for those of pg_catalog. Returns the nest level, which AtEOXact_GUC ends, also where there is
 * an error; 0 where the session has it all as it should be, which spares five settings for each
 * value.
 */
static int
fix_settings(int which)
{
	static const struct
	{
		int			kind;
		const char *name;
		const char *value;
	}			settings[] = {
		{SETTINGS_STYLE, "datestyle", "ISO"},
		{SETTINGS_STYLE, "intervalstyle", "postgres"},
		{SETTINGS_STYLE, "extra_float_digits", "3"},
		{SETTINGS_STYLE, "bytea_output", "hex"},
		{SETTINGS_PATH, "search_path", "pg_catalog"},
		{SETTINGS_PATH, "quote_all_identifiers", "off"},
		{SETTINGS_ZONE, "timezone", "UTC"},
		{SETTINGS_MONEY, "lc_monetary", "C"}
	};
	int			nestlevel;

	which &= ~settings_fixed();
	if (which == SETTINGS_NONE)
		return 0;
	nestlevel = NewGUCNestLevel();
	for (int i = 0; i < lengthof(settings); i++)
	{
		if (settings[i].kind & which)
			(void) set_config_option(settings[i].name, settings[i].value, PGC_USERSET,
									 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	return nestlevel;
}

/* What the output function makes of a datum, zero-terminated. */
static char *
call_output(KafkaDatumWriter *writer, Datum value)
{
	int			nestlevel = writer->settings != SETTINGS_NONE ? fix_settings(writer->settings) : 0;
	char	   *result = OutputFunctionCall(&writer->output, value);

	if (nestlevel > 0)
		AtEOXact_GUC(true, nestlevel);
	return result;
}

void
KafkaDatumWrite(KafkaDatumWriter *writer, Datum value, const char **data, Size *len)
{
	if (writer->bytes || writer->varlena)
	{
		struct varlena *datum = PG_DETOAST_DATUM_PACKED(value);

		*data = VARDATA_ANY(datum);
		*len = VARSIZE_ANY_EXHDR(datum);
	}
	else
	{
		*data = call_output(writer, value);
		*len = strlen(*data);
	}
	if (!writer->bytes)
		KafkaTextEncode(writer->encoding, data, len);
}

const char *
KafkaDatumWriteText(KafkaDatumWriter *writer, Datum value, Size *len)
{
	const char *result = call_output(writer, value);

	*len = strlen(result);
	return result;
}
