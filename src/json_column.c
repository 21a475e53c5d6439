/*
 * json_column.c
 *		A message's JSON, and a column's datum of the member that was found for it.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "port/pg_bitutils.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "json_column.h"

/* A path of more names is nobody's; recursion is as deep as a path is long. */
#define MAX_PATH 100

/* A buffer for strings that is larger goes to the row's context, and does not stay. */
#define KEEP_BUFFER (1024 * 1024)
#define FIRST_BUFFER 1024

/* Text nested more deeply is not given to PostgreSQL's parser to find its error. */
#define MAX_EXPLAINED 1000

/* ------------------------------------------------------------------------
 * Columns
 * ------------------------------------------------------------------------ */

/* The text of a path up to its next dot; *path moves behind it, and is NULL at the end. */
static const char *
next_name(const char **path, int *len)
{
	const char *name = *path;
	const char *dot = strchr(name, '.');

	*len = dot ? (int) (dot - name) : (int) strlen(name);
	*path = dot ? dot + 1 : NULL;
	return name;
}

static void
check_path(const char *path, const char *column)
{
	int			nnames = 1;

	for (const char *p = path; *p != '\0'; p++)
		nnames += *p == '.';
	if (nnames > MAX_PATH)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("path of column \"%s\" has more than %d names", column, MAX_PATH)));
}

KafkaJsonMember *
KafkaJsonAddPath(KafkaJsonMember *root, const char *path, const char *column)
{
	KafkaJsonMember *member = root;

	check_path(path, column);
	while (path != NULL)
	{
		int			len;
		const char *name = next_name(&path, &len);

		member = KafkaJsonAddMember(member, name, len);
	}
	return member;
}

KafkaJsonMember *
KafkaJsonAddField(KafkaJsonMember *root, const KafkaField *field)
{
	if (field->path == NULL)
		return KafkaJsonAddMember(root, field->column, (int) strlen(field->column));
	return KafkaJsonAddPath(root, field->path, field->column);
}

void
KafkaJsonOpenColumn(KafkaJsonColumn *column, const KafkaField *field, MemoryContext rowcontext)
{
	Oid			base = getBaseType(field->type);

	column->name = field->column;
	column->attr = field->attnum - 1;
	column->check_null = base != field->type;
	column->reader = field->reader;
	if (KafkaJsonIsNested(base))
	{
		column->input = KAFKA_JSON_INPUT_POPULATE;
		column->populator = KafkaJsonOpenPopulate(field->column, field->type, field->typmod);
	}
	else if (base == JSONOID || base == JSONBOID)
	{
		column->input = KAFKA_JSON_INPUT_JSON;
		/* What json_in() would check was checked with the whole message: it is only text here. */
		if (field->type == JSONOID)
			column->reader = KafkaDatumOpenRead(TEXTOID, -1, GetDatabaseEncoding(),
												KAFKA_INVALID_ERROR, rowcontext);
	}
	else
		column->input = KAFKA_JSON_INPUT_TEXT;
}

/* ------------------------------------------------------------------------
 * Messages
 * ------------------------------------------------------------------------ */

/* A code point in the database's encoding. */
static Size
encode_codepoint(void *arg, uint32 codepoint, char *output)
{
	KafkaJsonDecoder *decoder = arg;
	unsigned char utf8[MAX_MULTIBYTE_CHAR_LEN + 1] = {0};
	unsigned char converted[MAX_UNICODE_EQUIVALENT_STRING * MAX_CONVERSION_GROWTH + 1];
	int			len;

	unicode_to_utf8(codepoint, utf8);
	len = pg_utf_mblen(utf8);
	if (decoder->keep_utf8)
	{
		memcpy(output, utf8, len);
		return len;
	}

	if (!OidIsValid(decoder->from_utf8) ||
		pg_do_encoding_conversion_buf(decoder->from_utf8, PG_UTF8, GetDatabaseEncoding(), utf8, len,
									  converted, sizeof(converted), true) != len)
		return 0;
	len = (int) strlen((char *) converted);
	/* The escape is of six bytes, or twelve. */
	if (len > 6)
		elog(ERROR, "character U+%04X has %d bytes in the database's encoding", codepoint, len);
	memcpy(output, converted, len);
	return len;
}

void
KafkaJsonOpenDecoder(KafkaJsonDecoder *decoder, int encoding)
{
	int			database = GetDatabaseEncoding();

	memset(decoder, 0, sizeof(KafkaJsonDecoder));
	decoder->context = CurrentMemoryContext;
	/* In a SQL_ASCII database, text has the encoding that the table says. */
	decoder->keep_utf8 = database == PG_UTF8 ||
		(database == PG_SQL_ASCII && encoding == PG_UTF8);
	if (!decoder->keep_utf8 && database != PG_SQL_ASCII)
		decoder->from_utf8 = FindDefaultConversionProc(PG_UTF8, database);
	KafkaTextInit(&decoder->text, encoding, KAFKA_INVALID_ERROR);
	KafkaFailureOpenInput(&decoder->json, JSONOID, -1);
}

void
KafkaJsonOpenReader(KafkaJsonDecoder *decoder, KafkaJsonReader *reader)
{
	KafkaJsonInit(reader, encode_codepoint, decoder);
}

/*
 * Text that is not JSON. Where that is an error, PostgreSQL's parser finds it again and says it in
 * its own words.
 */
static void
report_not_json(KafkaJsonDecoder *decoder, const KafkaJsonReader *reader, const char *text,
				Size size, KafkaFailure *failure)
{
	if (!failure->soft && size < MaxAllocSize && reader->deepest <= MAX_EXPLAINED)
	{
		Datum		json;

		(void) KafkaFailureInput(failure, &decoder->json, pnstrdup(text, size), &json);
	}
	KafkaFailureReport(failure, ERRCODE_INVALID_TEXT_REPRESENTATION, NULL,
					   "invalid input syntax for type %s", "json");
}

/* JSON, but not an object. */
static void
report_not_object(const KafkaJsonMember *root, const char *what, KafkaFailure *failure)
{
	static const char *const details[] = {
		[KAFKA_JSON_NULL] = "It is null.",
		[KAFKA_JSON_BOOL] = "It is a boolean.",
		[KAFKA_JSON_NUMBER] = "It is a number.",
		[KAFKA_JSON_STRING] = "It is a string.",
		[KAFKA_JSON_ARRAY] = "It is an array."
	};

	KafkaFailureReport(failure, ERRCODE_INVALID_JSON_TEXT, details[root->kind],
					   "the message's %s is not a JSON object", what);
}

bool
KafkaJsonDecode(KafkaJsonDecoder *decoder, KafkaJsonReader *reader, KafkaJsonMember *root,
				const char *what, const char *text, Size size, KafkaFailure *failure)
{
	if (unlikely(!KafkaTextDecode(&decoder->text, &text, &size)))
	{
		KafkaTextReport(&decoder->text, text, size, NULL, failure);
		return false;
	}
	if (unlikely(!KafkaJsonRead(reader, root, text, size)))
	{
		report_not_json(decoder, reader, text, size, failure);
		return false;
	}
	if (unlikely(root->kind != KAFKA_JSON_OBJECT))
	{
		report_not_object(root, what, failure);
		return false;
	}
	return true;
}

/* Room for a string without its escapes. */
static char *
get_buffer(KafkaJsonDecoder *decoder, Size size)
{
	if (size > KEEP_BUFFER)
		return palloc_extended(size, MCXT_ALLOC_HUGE);
	if (size > decoder->size)
	{
		Size		larger = Max(FIRST_BUFFER, pg_nextpower2_size_t(size));

		if (decoder->buffer != NULL)
			pfree(decoder->buffer);
		decoder->buffer = NULL;
		decoder->size = 0;
		decoder->buffer = MemoryContextAlloc(decoder->context, larger);
		decoder->size = larger;
	}
	return decoder->buffer;
}

/* A string with escapes as text, or false. */
static bool
unescape(KafkaJsonDecoder *decoder, const char **text, Size *size, KafkaFailure *failure)
{
	char	   *output = get_buffer(decoder, *size);
	const char *detail = NULL;

	switch (KafkaJsonUnescape(*text, *size, encode_codepoint, decoder, output, size))
	{
		case KAFKA_JSON_STRING_OK:
			*text = output;
			return true;

		case KAFKA_JSON_STRING_HIGH:
			detail = "Unicode high surrogate must not follow a high surrogate.";
			break;

		case KAFKA_JSON_STRING_LOW:
			detail = "Unicode low surrogate must follow a high surrogate.";
			break;

		case KAFKA_JSON_STRING_ZERO:
			KafkaFailureReport(failure, ERRCODE_UNTRANSLATABLE_CHARACTER,
							   "\\u0000 cannot be converted to text.",
							   "unsupported Unicode escape sequence");
			return false;

		case KAFKA_JSON_STRING_LACKING:
			KafkaFailureReport(failure, ERRCODE_UNTRANSLATABLE_CHARACTER,
							   "The database's encoding does not have the character.",
							   "unsupported Unicode escape sequence");
			return false;
	}
	KafkaFailureReport(failure, ERRCODE_INVALID_TEXT_REPRESENTATION, detail,
					   "invalid input syntax for type %s", "json");
	return false;
}

bool
KafkaJsonMemberText(KafkaJsonDecoder *decoder, const KafkaJsonMember *member,
					KafkaFailure *failure, const char **text, Size *size)
{
	*text = member->text;
	*size = member->size;
	return !member->escaped || unescape(decoder, text, size, failure);
}

bool
KafkaJsonReadColumn(KafkaJsonDecoder *decoder, const KafkaJsonColumn *column,
					const KafkaJsonMember *member, KafkaFailure *failure, Datum *value,
					bool *isnull)
{
	const char *text = NULL;
	Size		size = 0;

	if (member != NULL)
	{
		text = member->text;
		size = member->size;
		if (member->kind == KAFKA_JSON_STRING && column->input != KAFKA_JSON_INPUT_TEXT)
		{
			text--;
			size += 2;
		}
		else if (member->escaped && !unescape(decoder, &text, &size, failure))
			return false;
	}

	if (column->input != KAFKA_JSON_INPUT_POPULATE)
		return KafkaDatumReadText(column->reader, text, size, failure, value, isnull);
	if (text == NULL)
	{
		text = "null";
		size = 4;
	}
	return KafkaJsonPopulate(column->populator, text, size, failure, value, isnull);
}
