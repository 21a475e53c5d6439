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

#include "format.h"
#include "json.h"
#include "json_column.h"
#include "json_datum.h"

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

/* The value, or the key. */
typedef struct JsonDocument
{
	const char *what;			/* for errors */
	KafkaJsonMember *root;
	KafkaJsonReader reader;
	KafkaJsonColumn *columns;	/* the wanted ones */
	int			ncolumns;
} JsonDocument;

typedef struct JsonReadState
{
	JsonDocument value;
	JsonDocument key;
	bool		strict;			/* a member too few is bad data ... */
	bool		strict_extra;	/* ... and one too many */
	const char **names;			/* of columns; their members' numbers count them */
	KafkaJsonDecoder decoder;
} JsonReadState;

/* The fields of the value or of the key: those that are wanted; all where the others matter. */
static void
open_document(JsonReadState *state, JsonDocument *document, bool in_key,
			  const KafkaField *fields, int nfields, MemoryContext rowcontext)
{
	document->what = in_key ? "key" : "value";
	document->root = KafkaJsonMakeRoot();
	document->columns = palloc0(Max(nfields, 1) * sizeof(KafkaJsonColumn));
	KafkaJsonOpenReader(&state->decoder, &document->reader);

	for (int i = 0; i < nfields; i++)
	{
		const KafkaField *field = &fields[i];
		KafkaJsonMember *member;
		KafkaJsonColumn *column;

		if (field->in_key != in_key || !(field->wanted || state->strict_extra))
			continue;
		member = KafkaJsonAddField(document->root, field);
		if (!field->wanted)
			continue;
		column = &document->columns[document->ncolumns++];
		column->member = member;
		KafkaJsonOpenColumn(column, field, rowcontext);
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
			member = KafkaJsonAddField(document->root, field);
		else
			member = KafkaJsonAddMember(document->root, path, (int) strcspn(path, "."));
		if (member->number < 0)
			member->number = i;
	}
}

static void *
json_open_read(const KafkaTable *table, const KafkaField *fields, int nfields,
			   MemoryContext rowcontext)
{
	JsonReadState *state = palloc0(sizeof(JsonReadState));

	state->strict = table->strict;
	state->strict_extra = table->strict_extra;
	KafkaJsonOpenDecoder(&state->decoder, table->encoding);
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

/* The columns' datums of a value or a key. */
static void
read_document(JsonReadState *state, JsonDocument *document, const char *text, Size size,
			  Datum *values, bool *isnull, KafkaFailure *failure)
{
	KafkaJsonReader *reader = &document->reader;

	failure->column = NULL;
	if (unlikely(!KafkaJsonDecode(&state->decoder, reader, document->root, document->what, text,
								  size, failure)))
		return;
	if (unlikely(state->strict_extra))
		check_strict(state, document, failure);

	for (int i = 0; i < document->ncolumns; i++)
	{
		const KafkaJsonColumn *column = &document->columns[i];
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
		if (likely(KafkaJsonReadColumn(&state->decoder, column, member, failure, &datum, &null)))
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
		member = KafkaJsonAddField(root, &fields[i]);
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
