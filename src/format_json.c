/*
 * format_json.c
 *		Format json: a column shows a member of the value, or of the key, which are objects.
 *
 * A value is looked at once from front to back, for all of the columns (json.c); then each wanted
 * column makes its datum of where its member was found, straight from the message's bytes where the
 * member is a number, a word, or a string without escapes.
 *
 * To send, the same tree of members is walked, and each column's datum appended (json_datum.c).
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "port/pg_bitutils.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "format.h"
#include "json.h"
#include "json_datum.h"
#include "text.h"

/* A path of more names is nobody's; recursion is as deep as a path is long. */
#define MAX_PATH 100

/* A buffer for strings that is larger goes to the row's context, and does not stay. */
#define KEEP_BUFFER (1024 * 1024)
#define FIRST_BUFFER 1024

/* Text nested more deeply is not given to PostgreSQL's parser to find its error. */
#define MAX_EXPLAINED 1000

/* ------------------------------------------------------------------------
 * Fields and the tree of their members
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
check_path(const KafkaField *field)
{
	int			nnames = 1;

	if (field->path == NULL)
		return;
	for (const char *p = field->path; *p != '\0'; p++)
		nnames += *p == '.';
	if (nnames > MAX_PATH)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("path of column \"%s\" has more than %d names", field->column, MAX_PATH)));
}

/* The member that a field shows, made below root. */
static KafkaJsonMember *
add_member(KafkaJsonMember *root, const KafkaField *field)
{
	KafkaJsonMember *member = root;
	const char *path = field->path;

	if (path == NULL)
		return KafkaJsonAddMember(root, field->column, (int) strlen(field->column));
	check_path(field);
	while (path != NULL)
	{
		int			len;
		const char *name = next_name(&path, &len);

		member = KafkaJsonAddMember(member, name, len);
	}
	return member;
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

/* How a wanted column comes by its datum. */
typedef enum JsonInput
{
	INPUT_TEXT,					/* of a scalar's text, or an array's or object's as it is */
	INPUT_JSON,					/* of JSON text, a string's quotes and all */
	INPUT_POPULATE				/* level by level: arrays and composites */
} JsonInput;

typedef struct JsonColumn
{
	const char *name;
	int			attr;			/* index of its datum */
	JsonInput	input;
	bool		check_null;		/* a domain, which may have an opinion */
	const KafkaJsonMember *member;
	KafkaDatumReader *reader;	/* text, json */
	KafkaJsonPopulator *populator;
} JsonColumn;

/* The value, or the key. */
typedef struct JsonDocument
{
	const char *what;			/* for errors */
	KafkaJsonMember *root;
	KafkaJsonReader reader;
	JsonColumn *columns;		/* the wanted ones */
	int			ncolumns;
} JsonDocument;

typedef struct JsonReadState
{
	JsonDocument value;
	JsonDocument key;
	bool		strict;			/* a member too few is bad data ... */
	bool		strict_extra;	/* ... and one too many */
	const char **names;			/* of columns; their members' numbers count them */
	KafkaText	text;
	Oid			from_utf8;		/* conversion for \u escapes where the database has another
								 * encoding */
	bool		keep_utf8;		/* or they need none */
	KafkaInput	json;			/* PostgreSQL's own, to explain what is wrong */
	char	   *buffer;			/* a string without its escapes */
	Size		size;			/* of the buffer */
	MemoryContext context;		/* the state's own */
} JsonReadState;

/* A code point in the database's encoding. */
static Size
encode_codepoint(void *arg, uint32 codepoint, char *output)
{
	JsonReadState *state = arg;
	unsigned char utf8[MAX_MULTIBYTE_CHAR_LEN + 1] = {0};
	unsigned char converted[MAX_UNICODE_EQUIVALENT_STRING * MAX_CONVERSION_GROWTH + 1];
	int			len;

	unicode_to_utf8(codepoint, utf8);
	len = pg_utf_mblen(utf8);
	if (state->keep_utf8)
	{
		memcpy(output, utf8, len);
		return len;
	}

	if (!OidIsValid(state->from_utf8) ||
		pg_do_encoding_conversion_buf(state->from_utf8, PG_UTF8, GetDatabaseEncoding(), utf8, len,
									  converted, sizeof(converted), true) != len)
		return 0;
	len = (int) strlen((char *) converted);
	/* The escape is of six bytes, or twelve. */
	if (len > 6)
		elog(ERROR, "character U+%04X has %d bytes in the database's encoding", codepoint, len);
	memcpy(output, converted, len);
	return len;
}

/* What \u escapes become. */
static void
open_encoding(JsonReadState *state, const KafkaTable *table)
{
	int			database = GetDatabaseEncoding();

	/* In a SQL_ASCII database, text has the encoding that the table says. */
	state->keep_utf8 = database == PG_UTF8 ||
		(database == PG_SQL_ASCII && table->encoding == PG_UTF8);
	if (!state->keep_utf8 && database != PG_SQL_ASCII)
		state->from_utf8 = FindDefaultConversionProc(PG_UTF8, database);
	KafkaTextInit(&state->text, table->encoding, KAFKA_INVALID_ERROR);
}

static void
open_column(JsonColumn *column, const KafkaField *field, MemoryContext rowcontext)
{
	Oid			base = getBaseType(field->type);

	column->name = field->column;
	column->attr = field->attnum - 1;
	column->check_null = base != field->type;
	column->reader = field->reader;
	if (KafkaJsonIsNested(base))
	{
		column->input = INPUT_POPULATE;
		column->populator = KafkaJsonOpenPopulate(field->column, field->type, field->typmod);
	}
	else if (base == JSONOID || base == JSONBOID)
	{
		column->input = INPUT_JSON;
		/* What json_in() would check was checked with the whole message: it is only text here. */
		if (field->type == JSONOID)
			column->reader = KafkaDatumOpenRead(TEXTOID, -1, GetDatabaseEncoding(),
												KAFKA_INVALID_ERROR, rowcontext);
	}
	else
		column->input = INPUT_TEXT;
}

/* The fields of the value or of the key: those that are wanted; all where the others matter. */
static void
open_document(JsonReadState *state, JsonDocument *document, bool in_key,
			  const KafkaField *fields, int nfields, MemoryContext rowcontext)
{
	document->what = in_key ? "key" : "value";
	document->root = KafkaJsonMakeRoot();
	document->columns = palloc0(Max(nfields, 1) * sizeof(JsonColumn));
	KafkaJsonInit(&document->reader, encode_codepoint, state);

	for (int i = 0; i < nfields; i++)
	{
		const KafkaField *field = &fields[i];
		KafkaJsonMember *member;
		JsonColumn *column;

		if (field->in_key != in_key || !(field->wanted || state->strict_extra))
			continue;
		member = add_member(document->root, field);
		if (!field->wanted)
			continue;
		column = &document->columns[document->ncolumns++];
		column->member = member;
		open_column(column, field, rowcontext);
	}
}

/* The first column that each member of an object itself is for. */
static void
number_members(JsonDocument *document, bool in_key, const KafkaField *fields, int nfields)
{
	for (int i = 0; i < nfields; i++)
	{
		const KafkaField *field = &fields[i];
		const char *path = field->path;
		KafkaJsonMember *member;

		if (field->in_key != in_key)
			continue;
		if (path == NULL)
			member = add_member(document->root, field);
		else
		{
			int			len;
			const char *name = next_name(&path, &len);

			member = KafkaJsonAddMember(document->root, name, len);
		}
		if (member->number < 0)
			member->number = i;
	}
}

static void *
json_open_read(const KafkaTable *table, const KafkaField *fields, int nfields,
			   MemoryContext rowcontext)
{
	JsonReadState *state = palloc0(sizeof(JsonReadState));

	state->context = CurrentMemoryContext;
	state->strict = table->strict;
	state->strict_extra = table->strict_extra;
	open_encoding(state, table);
	KafkaFailureOpenInput(&state->json, JSONOID, -1);
	open_document(state, &state->value, false, fields, nfields, rowcontext);
	open_document(state, &state->key, true, fields, nfields, rowcontext);
	if (state->strict)
	{
		state->names = palloc(Max(nfields, 1) * sizeof(char *));
		for (int i = 0; i < nfields; i++)
			state->names[i] = fields[i].column;
		number_members(&state->value, false, fields, nfields);
		number_members(&state->key, true, fields, nfields);
	}
	return state;
}

/*
 * Text that is not JSON. Where that is an error, PostgreSQL's parser finds it again and says it in
 * its own words.
 */
static void
report_not_json(JsonReadState *state, const JsonDocument *document, const char *text, Size size,
				KafkaFailure *failure)
{
	if (!failure->soft && size < MaxAllocSize && document->reader.deepest <= MAX_EXPLAINED)
	{
		Datum		json;

		(void) KafkaFailureInput(failure, &state->json, pnstrdup(text, size), &json);
	}
	KafkaFailureReport(failure, ERRCODE_INVALID_TEXT_REPRESENTATION, NULL,
					   "invalid input syntax for type %s", "json");
}

/* JSON, but not an object. */
static void
report_not_object(const JsonDocument *document, KafkaFailure *failure)
{
	static const char *const details[] = {
		[KAFKA_JSON_NULL] = "It is null.",
		[KAFKA_JSON_BOOL] = "It is a boolean.",
		[KAFKA_JSON_NUMBER] = "It is a number.",
		[KAFKA_JSON_STRING] = "It is a string.",
		[KAFKA_JSON_ARRAY] = "It is an array."
	};

	KafkaFailureReport(failure, ERRCODE_INVALID_JSON_TEXT, details[document->root->kind],
					   "the message's %s is not a JSON object", document->what);
}

/* The object has to have the table's members, and no others. */
static void
check_strict(JsonReadState *state, const JsonDocument *document, KafkaFailure *failure)
{
	if (document->reader.nunknown > 0)
		KafkaFailureReport(failure, ERRCODE_BAD_COPY_FILE_FORMAT, NULL,
						   "extra data after last expected column");
	for (int i = 0; state->strict && i < document->root->nchildren; i++)
	{
		const KafkaJsonMember *member = document->root->children[i];

		if (!KafkaJsonFound(&document->reader, member))
		{
			failure->column = state->names[member->number];
			KafkaFailureReport(failure, ERRCODE_BAD_COPY_FILE_FORMAT, NULL,
							   "missing data for column \"%s\"", failure->column);
		}
	}
	failure->column = NULL;
}

/* Room for a string without its escapes. */
static char *
get_buffer(JsonReadState *state, Size size)
{
	if (size > KEEP_BUFFER)
		return palloc_extended(size, MCXT_ALLOC_HUGE);
	if (size > state->size)
	{
		Size		larger = Max(FIRST_BUFFER, pg_nextpower2_size_t(size));

		if (state->buffer != NULL)
			pfree(state->buffer);
		state->buffer = NULL;
		state->size = 0;
		state->buffer = MemoryContextAlloc(state->context, larger);
		state->size = larger;
	}
	return state->buffer;
}

/* A string with escapes as text, or false. */
static bool
unescape(JsonReadState *state, const char **text, Size *size, KafkaFailure *failure)
{
	char	   *output = get_buffer(state, *size);
	const char *detail = NULL;

	switch (KafkaJsonUnescape(*text, *size, encode_codepoint, state, output, size))
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

/* A column's datum of its member; member NULL: there is none, or it is null. */
static inline bool
read_datum(JsonReadState *state, const JsonColumn *column, const KafkaJsonMember *member,
		   KafkaFailure *failure, Datum *value, bool *isnull)
{
	const char *text = NULL;
	Size		size = 0;

	if (member != NULL)
	{
		text = member->text;
		size = member->size;
		if (member->kind == KAFKA_JSON_STRING && column->input != INPUT_TEXT)
		{
			text--;
			size += 2;
		}
		else if (member->escaped && !unescape(state, &text, &size, failure))
			return false;
	}

	if (column->input != INPUT_POPULATE)
		return KafkaDatumReadText(column->reader, text, size, failure, value, isnull);
	if (text == NULL)
	{
		text = "null";
		size = 4;
	}
	return KafkaJsonPopulate(column->populator, text, size, failure, value, isnull);
}

/* The columns' datums of a value or a key. */
static void
read_document(JsonReadState *state, JsonDocument *document, const char *text, Size size,
			  Datum *values, bool *isnull, KafkaFailure *failure)
{
	KafkaJsonReader *reader = &document->reader;

	failure->column = NULL;
	if (unlikely(!KafkaTextDecode(&state->text, &text, &size)))
	{
		KafkaTextReport(&state->text, text, size, NULL, failure);
		return;
	}
	if (unlikely(!KafkaJsonRead(reader, document->root, text, size)))
	{
		report_not_json(state, document, text, size, failure);
		return;
	}
	if (unlikely(document->root->kind != KAFKA_JSON_OBJECT))
	{
		report_not_object(document, failure);
		return;
	}
	if (unlikely(state->strict_extra))
		check_strict(state, document, failure);

	for (int i = 0; i < document->ncolumns; i++)
	{
		const JsonColumn *column = &document->columns[i];
		const KafkaJsonMember *member = column->member;
		Datum		datum;
		bool		null;

		if (!KafkaJsonFound(reader, member) || member->kind == KAFKA_JSON_NULL)
		{
			if (likely(!column->check_null))
				continue;
			member = NULL;
		}
		failure->column = column->name;
		if (likely(read_datum(state, column, member, failure, &datum, &null)))
		{
			values[column->attr] = datum;
			isnull[column->attr] = null;
		}
	}
	failure->column = NULL;
}

static void
json_read(void *arg, const KafkaMessage *message, Datum *values, bool *isnull,
		  KafkaFailure *failure)
{
	JsonReadState *state = arg;

	/* Without a value, or a key, its columns are NULL, which is no fault. */
	if (state->key.ncolumns > 0 && message->key != NULL)
		read_document(state, &state->key, message->key, message->keylen, values, isnull, failure);
	if (state->value.ncolumns > 0 && message->value != NULL)
		read_document(state, &state->value, message->value, message->valuelen, values, isnull,
					  failure);
}

/* ------------------------------------------------------------------------
 * Sending
 * ------------------------------------------------------------------------ */

/* A column that gives a member. */
typedef struct JsonItem
{
	const char *column;
	int			attr;			/* index of its datum */
	KafkaJsonWriter *writer;
} JsonItem;

/*
 * A member, or the root, which is none. A table can show a member twice, or one inside it besides:
 * of such columns, a row may give a value to one.
 */
typedef struct JsonPlace
{
	const char *prefix;			/* its name and the colon */
	int			prefixlen;
	JsonItem   *items;			/* usually one, or some children */
	int			nitems;
	struct JsonPlace *children;
	int			nchildren;
} JsonPlace;

typedef struct JsonWriteState
{
	JsonPlace  *value;			/* NULL where there are no fields of it */
	JsonPlace  *key;
	int			encoding;		/* the table's */
} JsonWriteState;

/*
 * Fill a place with the fields of a member, of which the first is the member's number and the others
 * are linked by next, and with its children, in the order of their columns.
 */
static void
make_place(JsonPlace *place, const KafkaJsonMember *member, const KafkaField *fields,
		   const int *next)
{
	StringInfoData prefix;
	JsonItem   *item;

	memset(place, 0, sizeof(JsonPlace));
	initStringInfo(&prefix);
	KafkaJsonAppendString(&prefix, member->name, member->len);
	appendStringInfoChar(&prefix, ':');
	place->prefix = prefix.data;
	place->prefixlen = prefix.len;

	for (int i = member->number; i >= 0; i = next[i])
		place->nitems++;
	item = place->items = palloc(Max(place->nitems, 1) * sizeof(JsonItem));
	for (int i = member->number; i >= 0; i = next[i])
	{
		item->column = fields[i].column;
		item->attr = fields[i].attnum - 1;
		item->writer = KafkaJsonOpenWrite(fields[i].type, KAFKA_JSON_PLAIN);
		item++;
	}

	place->nchildren = member->nchildren;
	place->children = palloc(Max(member->nchildren, 1) * sizeof(JsonPlace));
	for (int i = 0; i < member->nchildren; i++)
		make_place(&place->children[i], member->children[i], fields, next);
}

/* The object that the value, or the key, is made from; NULL where it has no fields. */
static JsonPlace *
make_object(bool in_key, const KafkaField *fields, int nfields)
{
	KafkaJsonMember *root = KafkaJsonMakeRoot();
	int		   *next = palloc(Max(nfields, 1) * sizeof(int));
	int		   *last = palloc(Max(nfields, 1) * sizeof(int));	/* by the first one */
	JsonPlace  *object;
	bool		found = false;

	for (int i = 0; i < nfields; i++)
	{
		KafkaJsonMember *member;

		if (fields[i].in_key != in_key)
			continue;
		found = true;
		if (!fields[i].wanted)
			continue;
		member = add_member(root, &fields[i]);
		next[i] = -1;
		if (member->number < 0)
			member->number = i;
		else
			next[last[member->number]] = i;
		last[member->number] = i;
	}
	if (!found)
		return NULL;
	object = palloc(sizeof(JsonPlace));
	make_place(object, root, fields, next);
	pfree(next);
	pfree(last);
	return object;
}

static void *
json_open_write(const KafkaTable *table, const KafkaField *fields, int nfields)
{
	JsonWriteState *state = palloc0(sizeof(JsonWriteState));

	state->encoding = table->encoding;
	state->value = make_object(false, fields, nfields);
	state->key = make_object(true, fields, nfields);
	return state;
}

/* The first column in a place, or below it, that is not NULL; or NULL. */
static const JsonItem *
find_given(const JsonPlace *place, const JsonItem *except, const bool *isnull)
{
	for (int i = 0; i < place->nitems; i++)
	{
		if (&place->items[i] != except && !isnull[place->items[i].attr])
			return &place->items[i];
	}
	for (int i = 0; i < place->nchildren; i++)
	{
		const JsonItem *item = find_given(&place->children[i], except, isnull);

		if (item != NULL)
			return item;
	}
	return NULL;
}

/* The column that gives a place its value; NULL where it is null, or an object of its children. */
static inline const JsonItem *
choose_item(const JsonPlace *place, const bool *isnull)
{
	const JsonItem *item = NULL;
	const JsonItem *other;

	for (int i = 0; i < place->nitems && item == NULL; i++)
	{
		if (!isnull[place->items[i].attr])
			item = &place->items[i];
	}
	if (item == NULL || (place->nitems == 1 && place->nchildren == 0))
		return item;

	other = find_given(place, item, isnull);
	if (other != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns \"%s\" and \"%s\" give the same part of the message",
						item->column, other->column),
				 errhint("Leave one of them NULL.")));
	return item;
}

/* Append the object of a place's children. */
static void
write_members(const JsonPlace *place, const Datum *values, const bool *isnull, StringInfo output)
{
	appendStringInfoChar(output, '{');
	for (int i = 0; i < place->nchildren; i++)
	{
		const JsonPlace *child = &place->children[i];
		const JsonItem *item = choose_item(child, isnull);

		if (i > 0)
			appendStringInfoChar(output, ',');
		appendBinaryStringInfo(output, child->prefix, child->prefixlen);
		if (item != NULL)
			KafkaJsonWrite(item->writer, values[item->attr], output);
		else if (child->nchildren > 0)
			write_members(child, values, isnull, output);
		else
			appendBinaryStringInfo(output, "null", 4);
	}
	appendStringInfoChar(output, '}');
}

/* A row's object. */
static void
write_object(const JsonPlace *object, int encoding, const Datum *values, const bool *isnull,
			 const char **data, Size *len)
{
	StringInfoData output;

	initStringInfo(&output);
	write_members(object, values, isnull, &output);
	*data = output.data;
	*len = output.len;
	KafkaTextEncode(encoding, data, len);
}

static void
json_write(void *arg, const Datum *values, const bool *isnull, KafkaOutgoing *message)
{
	const JsonWriteState *state = arg;

	if (state->value != NULL)
		write_object(state->value, state->encoding, values, isnull, &message->value,
					 &message->valuelen);
	if (state->key != NULL)
		write_object(state->key, state->encoding, values, isnull, &message->key,
					 &message->keylen);
}

const KafkaFormat KafkaFormatJson = {
	.open_read = json_open_read,
	.read = json_read,
	.open_write = json_open_write,
	.write = json_write
};
