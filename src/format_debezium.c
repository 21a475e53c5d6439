/*
 * format_debezium.c
 *		Format debezium: a column shows a member of the row that a change event is about.
 *
 * A change event is a JSON object, the envelope: before and after are the row, op says what happened
 * to it. With schemas.enable=true it stands in the member "payload" beside its schema. So a column
 * has up to four places in the tree of members that json.c looks for in one pass, and a fifth and
 * sixth in the message's key, which is all that a tombstone has.
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "format_debezium.h"

/* ------------------------------------------------------------------------
 * Columns
 * ------------------------------------------------------------------------ */

/* Whether bytea is somewhere inside a type, where its base64 would be taken for text. */
static bool
has_bytea(Oid type)
{
	TupleDesc	desc;
	bool		found = false;

	check_stack_depth();
	type = getBaseType(type);
	if (OidIsValid(get_element_type(type)))
		return has_bytea(get_element_type(type));
	if (get_typtype(type) != TYPTYPE_COMPOSITE)
		return type == BYTEAOID;
	desc = lookup_rowtype_tupdesc(type, -1);
	for (int i = 0; i < desc->natts && !found; i++)
		found = !TupleDescAttr(desc, i)->attisdropped &&
			has_bytea(TupleDescAttr(desc, i)->atttypid);
	ReleaseTupleDesc(desc);
	return found;
}

static void
open_type(DebeziumColumn *column, const KafkaField *field)
{
	Oid			element;

	column->typmod = field->typmod;
	column->type = getBaseTypeAndTypmod(field->type, &column->typmod);
	element = get_element_type(column->type);
	if (OidIsValid(element))
	{
		column->is_array = true;
		column->type = getBaseTypeAndTypmod(element, &column->typmod);
	}
	if (column->type != BYTEAOID && has_bytea(column->type))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of format debezium cannot have type %s", field->column,
						format_type_be(field->type)),
				 errdetail("In rows, and in arrays of domains over arrays, bytea cannot be read.")));
}

/* Where a column is looked for. */
static void
open_places(DebeziumState *state, DebeziumColumn *column, const KafkaField *field)
{
	for (int wrapped = 0; wrapped < 2; wrapped++)
	{
		KafkaJsonMember *value = state->value.root;
		KafkaJsonMember *key = state->key.root;

		if (wrapped)
		{
			value = KafkaJsonAddMember(value, "payload", strlen("payload"));
			key = KafkaJsonAddMember(key, "payload", strlen("payload"));
		}
		if (field->in_envelope)
		{
			for (int image = IMAGE_AFTER; image <= IMAGE_BEFORE; image++)
				column->places[wrapped][image] = KafkaJsonAddField(value, field);
			continue;
		}
		column->places[wrapped][IMAGE_KEY] = KafkaJsonAddField(key, field);
		if (field->in_key)
			continue;
		column->places[wrapped][IMAGE_AFTER] =
			KafkaJsonAddField(KafkaJsonAddMember(value, "after", strlen("after")), field);
		column->places[wrapped][IMAGE_BEFORE] =
			KafkaJsonAddField(KafkaJsonAddMember(value, "before", strlen("before")), field);
	}
}

/* How times are written in the envelope: ts_ms and its kin say so. */
static DebeziumEncoding
envelope_encoding(const char *path)
{
	size_t		len = strlen(path);
	const char *unit = len > 3 ? path + len - 3 : "";

	return strcmp(unit, "_ms") == 0 ? ENCODED_MILLIS
		: strcmp(unit, "_us") == 0 ? ENCODED_MICROS
		: strcmp(unit, "_ns") == 0 ? ENCODED_NANOS : ENCODED_DEFAULT;
}

static void
open_column(DebeziumState *state, const KafkaField *field, MemoryContext rowcontext)
{
	DebeziumColumn *column = &state->columns[state->ncolumns++];

	KafkaJsonOpenColumn(&column->column, field, rowcontext);
	column->reader = field->reader;
	column->in_envelope = field->in_envelope;
	column->of_row = !field->in_envelope && !field->in_key;
	if (field->in_envelope)
		column->meanings[0].encoding = envelope_encoding(field->path);
	else
		column->member = field->path == NULL ? field->column
			: strchr(field->path, '.') == NULL ? field->path : NULL;
	state->key_columns |= field->in_key;
	open_type(column, field);
	open_places(state, column, field);
}

static void
open_document(DebeziumState *state, DebeziumDocument *document)
{
	document->root = KafkaJsonMakeRoot();
	document->schema = KafkaJsonAddMember(document->root, "schema", strlen("schema"));
	document->payload = KafkaJsonAddMember(document->root, "payload", strlen("payload"));
	KafkaJsonOpenReader(&state->decoder, &document->reader);
}

static void *
debezium_open_read(const KafkaTable *table, const KafkaField *fields, int nfields,
				   MemoryContext rowcontext)
{
	DebeziumState *state = palloc0(sizeof(DebeziumState));

	KafkaJsonOpenDecoder(&state->decoder, table->encoding);
	KafkaFailureOpenInput(&state->jsonb, JSONBOID, -1);
	open_document(state, &state->value);
	open_document(state, &state->key);
	for (int wrapped = 0; wrapped < 2; wrapped++)
	{
		KafkaJsonMember *root = wrapped ? unconstify(KafkaJsonMember *, state->value.payload)
			: state->value.root;

		state->op[wrapped] = KafkaJsonAddMember(root, "op", strlen("op"));
		state->images[wrapped][IMAGE_AFTER] = KafkaJsonAddMember(root, "after", strlen("after"));
		state->images[wrapped][IMAGE_BEFORE] = KafkaJsonAddMember(root, "before", strlen("before"));
		state->sequence[wrapped] = KafkaJsonAddPath(root, "source.sequence", "");
	}
	state->decimal = KafkaJsonMakeRoot();
	state->decimal_scale = KafkaJsonAddMember(state->decimal, "scale", strlen("scale"));
	state->decimal_value = KafkaJsonAddMember(state->decimal, "value", strlen("value"));
	KafkaJsonOpenReader(&state->decoder, &state->decimal_reader);

	state->columns = palloc0(Max(nfields, 1) * sizeof(DebeziumColumn));
	for (int i = 0; i < nfields; i++)
	{
		if (fields[i].wanted)
			open_column(state, &fields[i], rowcontext);
	}
	return state;
}

/* ------------------------------------------------------------------------
 * Messages
 * ------------------------------------------------------------------------ */

/* The columns of an image of the row; those of the envelope are in each but the key. */
static void
read_columns(DebeziumState *state, const DebeziumDocument *document, int wrapped,
			 DebeziumImage image, bool of_row, Datum *values, bool *isnull, KafkaFailure *failure)
{
	for (int i = 0; i < state->ncolumns; i++)
	{
		const DebeziumColumn *column = &state->columns[i];
		const KafkaJsonMember *member = column->places[wrapped][image];
		Datum		datum;
		bool		null;
		bool		read;

		if (member == NULL || column->of_row != of_row)
			continue;
		failure->column = column->column.name;
		if (!KafkaJsonFound(&document->reader, member) || member->kind == KAFKA_JSON_NULL)
		{
			/* Of a row that was there before, there may be no more than the key. */
			if (!column->column.check_null || (of_row && image != IMAGE_AFTER))
				continue;
			read = KafkaJsonReadColumn(&state->decoder, &column->column, NULL, failure, &datum,
									   &null);
		}
		else if (of_row && kafka_debezium_is_unavailable(member))
		{
			state->unavailable[column->column.attr] = true;
			state->some_unavailable = true;
			continue;
		}
		else
			read = kafka_debezium_read_value(state, column, member, column->meanings[image == IMAGE_KEY],
											 failure, &datum, &null);
		if (read)
		{
			values[column->column.attr] = datum;
			isnull[column->column.attr] = null;
		}
	}
	failure->column = NULL;
}

/* The columns of the message's key; those of the row too, where it is all there is of that. */
static void
read_key(DebeziumState *state, const KafkaMessage *message, bool row, Datum *values, bool *isnull,
		 KafkaFailure *failure)
{
	DebeziumDocument *key = &state->key;
	int			wrapped;

	if (message->key == NULL || !(row || state->key_columns))
		return;
	if (!KafkaJsonDecode(&state->decoder, &key->reader, key->root, "key", message->key,
						 message->keylen, failure))
		return;
	wrapped = KafkaJsonFound(&key->reader, key->schema) &&
		KafkaJsonFound(&key->reader, key->payload) && key->payload->kind == KAFKA_JSON_OBJECT;
	if (!wrapped)
		kafka_debezium_forget_schema(state, key);
	else if (!kafka_debezium_learn_schema(state, key, failure))
		return;
	read_columns(state, key, wrapped, IMAGE_KEY, false, values, isnull, failure);
	if (row)
		read_columns(state, key, wrapped, IMAGE_KEY, true, values, isnull, failure);
}

/* What the event says has happened: a letter, or '\0', and reported, where it says nothing. */
static char
read_op(DebeziumState *state, int wrapped, KafkaFailure *failure)
{
	const KafkaJsonMember *op = state->op[wrapped];

	if (!KafkaJsonFound(&state->value.reader, op))
	{
		KafkaFailureReport(failure, ERRCODE_INVALID_JSON_TEXT,
						   "It has no member \"op\". A row alone, as ExtractNewRecordState leaves it, "
						   "can be read by format json.",
						   "the message's value is not a change event of Debezium");
		return '\0';
	}
	if (op->kind == KAFKA_JSON_STRING && op->size == 1 && strchr("crudtm", op->text[0]) != NULL)
		return op->text[0];
	KafkaFailureReport(failure, ERRCODE_INVALID_JSON_TEXT,
					   "It is one of c, r, u, d, t and m.",
					   "a change event has an unknown operation: %.*s", (int) Min(op->size, 100),
					   op->text);
	return '\0';
}

/* The row of an event: before a delete, and after any other change. */
static void
read_image(DebeziumState *state, const KafkaMessage *message, int wrapped, Datum *values,
		   bool *isnull, KafkaFailure *failure)
{
	DebeziumImage image = state->change == KAFKA_CHANGE_DELETE ? IMAGE_BEFORE : IMAGE_AFTER;
	const KafkaJsonMember *row = state->images[wrapped][image];
	bool		found = KafkaJsonFound(&state->value.reader, row) &&
		row->kind == KAFKA_JSON_OBJECT;

	if (!found && image == IMAGE_AFTER)
	{
		KafkaFailureReport(failure, ERRCODE_INVALID_JSON_TEXT, NULL,
						   "a change event has no row in \"after\"");
		return;
	}
	if (found)
		read_columns(state, &state->value, wrapped, image, true, values, isnull, failure);
	read_key(state, message, !found, values, isnull, failure);
}

static void
debezium_read(void *arg, const KafkaMessage *message, Datum *values, bool *isnull,
			  KafkaFailure *failure)
{
	DebeziumState *state = arg;
	DebeziumDocument *value = &state->value;
	int			wrapped;
	char		op;

	if (state->some_unavailable)
		memset(state->unavailable, 0, sizeof(state->unavailable));
	state->some_unavailable = false;
	state->foreign = false;
	/* Until it is known. What is bad must not pass for an event about no row. */
	state->change = KAFKA_CHANGE_UPSERT;
	if (message->value == NULL)
	{
		read_key(state, message, true, values, isnull, failure);
		return;
	}
	if (!KafkaJsonDecode(&state->decoder, &value->reader, value->root, "value", message->value,
						 message->valuelen, failure))
		return;
	wrapped = !KafkaJsonFound(&value->reader, state->op[0]) &&
		KafkaJsonFound(&value->reader, value->payload) &&
		value->payload->kind == KAFKA_JSON_OBJECT;
	op = read_op(state, wrapped, failure);
	if (op == '\0')
		return;
	if (!wrapped || !KafkaJsonFound(&value->reader, value->schema) ||
		value->schema->kind != KAFKA_JSON_OBJECT)
		kafka_debezium_forget_schema(state, value);
	else if (!kafka_debezium_learn_schema(state, value, failure))
		return;
	state->foreign = KafkaJsonFound(&value->reader, state->sequence[wrapped]);
	state->change = op == 'd' ? KAFKA_CHANGE_DELETE
		: op == 't' ? KAFKA_CHANGE_TRUNCATE : op == 'm' ? KAFKA_CHANGE_NONE : KAFKA_CHANGE_UPSERT;
	read_columns(state, value, wrapped, IMAGE_AFTER, false, values, isnull, failure);
	if (op == 't' || op == 'm')
		read_key(state, message, false, values, isnull, failure);
	else
		read_image(state, message, wrapped, values, isnull, failure);
}

static KafkaChange
debezium_change(void *arg, const bool **unavailable)
{
	DebeziumState *state = arg;

	*unavailable = state->some_unavailable ? state->unavailable : NULL;
	return state->change;
}

const KafkaFormat KafkaFormatDebezium = {
	.open_read = debezium_open_read,
	.read = debezium_read,
	.change = debezium_change
};
