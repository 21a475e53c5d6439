/*
 * format_debezium_schema.c
 *		What the schema block of a change event says of its values.
 *
 * Most messages of a topic carry the same one, so it is parsed once and compared after that.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "format_debezium.h"

static bool
jsonb_member(JsonbContainer *object, const char *name, JsonbValue *value)
{
	return JsonContainerIsObject(object) &&
		getKeyJsonValueFromContainer(object, name, strlen(name), value) != NULL;
}

/* A member's string, or NULL. */
static char *
jsonb_string(JsonbContainer *object, const char *name)
{
	JsonbValue	value;

	if (!jsonb_member(object, name, &value) || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* The object of a struct's "fields" whose "field" is this; NULL: there is none. */
static JsonbContainer *
find_field(JsonbContainer *schema, const char *name)
{
	JsonbValue	fields;

	if (!jsonb_member(schema, "fields", &fields) || fields.type != jbvBinary ||
		!JsonContainerIsArray(fields.val.binary.data))
		return NULL;
	for (uint32 i = 0; i < JsonContainerSize(fields.val.binary.data); i++)
	{
		JsonbValue *field = getIthJsonbValueFromContainer(fields.val.binary.data, i);
		char	   *found;

		if (field == NULL || field->type != jbvBinary)
			continue;
		found = jsonb_string(field->val.binary.data, "field");
		if (found && strcmp(found, name) == 0)
			return field->val.binary.data;
	}
	return NULL;
}

/* What a field's schema says of its values. */
static DebeziumMeaning
read_meaning(JsonbContainer *field)
{
	static const struct
	{
		const char *name;
		DebeziumEncoding encoding;
	}			names[] = {
		{"io.debezium.time.Date", ENCODED_DAYS},
		{"io.debezium.time.Time", ENCODED_MILLIS},
		{"io.debezium.time.MicroTime", ENCODED_MICROS},
		{"io.debezium.time.NanoTime", ENCODED_NANOS},
		{"io.debezium.time.Timestamp", ENCODED_MILLIS},
		{"io.debezium.time.MicroTimestamp", ENCODED_MICROS},
		{"io.debezium.time.NanoTimestamp", ENCODED_NANOS},
		{"io.debezium.time.MicroDuration", ENCODED_MICROS},
		{"io.debezium.time.NanoDuration", ENCODED_NANOS},
		{"io.debezium.data.Json", ENCODED_JSON},
		{"org.apache.kafka.connect.data.Date", ENCODED_DAYS},
		{"org.apache.kafka.connect.data.Time", ENCODED_MILLIS},
		{"org.apache.kafka.connect.data.Timestamp", ENCODED_MILLIS},
		{"org.apache.kafka.connect.data.Decimal", ENCODED_DECIMAL}
	};
	DebeziumMeaning meaning = {ENCODED_DEFAULT, 0};
	char	   *name = jsonb_string(field, "name");
	JsonbValue	parameters;
	JsonbValue	items;

	if (name == NULL && jsonb_member(field, "items", &items) && items.type == jbvBinary)
		return read_meaning(items.val.binary.data);
	for (int i = 0; name && i < lengthof(names); i++)
	{
		if (strcmp(name, names[i].name) == 0)
			meaning.encoding = names[i].encoding;
	}
	if (meaning.encoding == ENCODED_DECIMAL && jsonb_member(field, "parameters", &parameters) &&
		parameters.type == jbvBinary)
	{
		char	   *scale = jsonb_string(parameters.val.binary.data, "scale");

		meaning.scale = scale ? (int) strtol(scale, NULL, 10) : 0;
	}
	return meaning;
}

bool
kafka_debezium_learn_schema(DebeziumState *state, DebeziumDocument *document,
							KafkaFailure *failure)
{
	const char *text = document->schema->text;
	Size		size = document->schema->size;
	bool		of_key = document == &state->key;
	JsonbContainer *row;
	Datum		datum;

	if (document->known && document->known_size == size &&
		memcmp(document->known, text, size) == 0)
		return true;
	if (!KafkaFailureInput(failure, &state->jsonb, pnstrdup(text, size), &datum))
		return false;
	row = &DatumGetJsonbP(datum)->root;
	if (!of_key)
		row = find_field(row, "after");
	for (int i = 0; i < state->ncolumns; i++)
	{
		DebeziumColumn *column = &state->columns[i];
		JsonbContainer *field = row && column->member ? find_field(row, column->member) : NULL;

		if (!column->in_envelope)
			column->meanings[of_key].encoding = ENCODED_DEFAULT;
		if (field)
			column->meanings[of_key] = read_meaning(field);
	}
	if (document->known)
		pfree(document->known);
	document->known = NULL;
	document->known = MemoryContextAllocHuge(state->decoder.context, size);
	memcpy(document->known, text, size);
	document->known_size = size;
	return true;
}

void
kafka_debezium_forget_schema(DebeziumState *state, DebeziumDocument *document)
{
	if (document->known == NULL)
		return;
	pfree(document->known);
	document->known = NULL;
	for (int i = 0; i < state->ncolumns; i++)
	{
		if (!state->columns[i].in_envelope)
			state->columns[i].meanings[document == &state->key].encoding = ENCODED_DEFAULT;
	}
}
