/*
 * format_debezium.c
 *		Format debezium: a column shows a member of the row that a change event is about.
 *
 * A change event is a JSON object, the envelope: before and after are the row, op says what happened
 * to it. With schemas.enable=true it stands in the member "payload" beside its schema. So a column
 * has up to four places in the tree of members that json.c looks for in one pass, and a fifth and
 * sixth in the message's key, which is all that a tombstone has.
 *
 * Debezium writes some types other than PostgreSQL does: times as numbers, bytes in base64. What a
 * value means is told by the schema, where there is one, and else by the column's type. It is made
 * into text that the type's input function reads.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "common/base64.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "json_column.h"
#include "placeholder.h"

#define MAX_DECIMAL 16384		/* bytes of one */

/* How a value was encoded, as far as a schema says. */
typedef enum DebeziumEncoding
{
	ENCODED_DEFAULT,			/* as the column's type has it */
	ENCODED_DAYS,
	ENCODED_MILLIS,
	ENCODED_MICROS,
	ENCODED_NANOS,
	ENCODED_DECIMAL,			/* base64 of a number, which has a scale */
	ENCODED_JSON				/* JSON in a string */
} DebeziumEncoding;

typedef struct DebeziumMeaning
{
	DebeziumEncoding encoding;
	int			scale;
} DebeziumMeaning;

/* Indexes: whether the envelope is wrapped in a payload, and which image of the row. */
typedef enum DebeziumImage
{
	IMAGE_AFTER,
	IMAGE_BEFORE,
	IMAGE_KEY					/* of the message */
} DebeziumImage;

typedef struct DebeziumColumn
{
	KafkaJsonColumn column;
	const char *member;			/* name of the member, if it is one of the row itself */
	bool		of_row;			/* not of the envelope, or of the key alone */
	bool		in_envelope;
	const KafkaJsonMember *places[2][3];	/* NULL: not there */
	Oid			type;			/* base type of the column, or of its elements ... */
	int32		typmod;
	bool		is_array;		/* ... where it is an array */
	DebeziumMeaning meanings[2];	/* in the value, in the key */
	KafkaDatumReader *reader;
} DebeziumColumn;

/* The value, or the key. */
typedef struct DebeziumDocument
{
	KafkaJsonMember *root;
	KafkaJsonReader reader;
	const KafkaJsonMember *schema;
	const KafkaJsonMember *payload;
	char	   *known;			/* the schema's text that the meanings are of; NULL: none */
	Size		known_size;
} DebeziumDocument;

typedef struct DebeziumState
{
	KafkaJsonDecoder decoder;
	KafkaInput	jsonb;			/* of schemas */
	DebeziumDocument value;
	DebeziumDocument key;
	const KafkaJsonMember *op[2];
	const KafkaJsonMember *images[2][2];
	const KafkaJsonMember *sequence[2];
	DebeziumColumn *columns;
	int			ncolumns;
	bool		key_columns;	/* some show the key alone */

	/* variable-scale decimals */
	KafkaJsonReader decimal_reader;
	KafkaJsonMember *decimal;
	const KafkaJsonMember *decimal_scale;
	const KafkaJsonMember *decimal_value;

	/* the message read last */
	KafkaChange change;
	bool		foreign;		/* Debezium's own, and not kafka_publish()'s */
	bool		some_unavailable;
	bool		unavailable[MaxHeapAttributeNumber];	/* by attribute, of any column */
} DebeziumState;

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
 * Schemas
 * ------------------------------------------------------------------------ */

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

/* Note what a message's schema says. It is parsed once, as it is the same in most messages. */
static bool
learn_schema(DebeziumState *state, DebeziumDocument *document, KafkaFailure *failure)
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

static void
forget_schema(DebeziumState *state, DebeziumDocument *document)
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

/* ------------------------------------------------------------------------
 * Values
 * ------------------------------------------------------------------------ */

static bool
report_value(const DebeziumColumn *column, const char *text, Size size, const char *detail,
			 KafkaFailure *failure)
{
	KafkaFailureReport(failure, ERRCODE_INVALID_TEXT_REPRESENTATION, detail,
					   "invalid value for type %s in a change event: \"%.*s\"",
					   format_type_be(column->type), (int) Min(size, 100), text);
	return false;
}

/* A time since the beginning of 1970, in microseconds: false where it is beyond them. */
static bool
to_micros(int64 number, DebeziumEncoding encoding, int64 *micros)
{
	switch (encoding)
	{
		case ENCODED_DAYS:
			return !pg_mul_s64_overflow(number, USECS_PER_DAY, micros);
		case ENCODED_MILLIS:
			return !pg_mul_s64_overflow(number, 1000, micros);
		case ENCODED_NANOS:
			*micros = number / 1000 - (number % 1000 < 0);
			return true;
		default:
			*micros = number;
			return true;
	}
}

/* Days since 1970 as text that date_in() reads; NULL: there is no such day. */
static char *
date_text(int64 days)
{
	int64		day = days - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE);
	int			year;
	int			month;
	int			mday;

	if (days < PG_INT32_MIN || days > PG_INT32_MAX || day < PG_INT32_MIN || !IS_VALID_DATE(day))
		return NULL;
	j2date((int) (day + POSTGRES_EPOCH_JDATE), &year, &month, &mday);
	return psprintf("%04d-%02d-%02d%s", year > 0 ? year : 1 - year, month, mday,
					year > 0 ? "" : " BC");
}

static char *
time_text(int64 micros)
{
	if (micros < 0 || micros > USECS_PER_DAY)
		return NULL;
	return psprintf("%02d:%02d:%02d.%06d", (int) (micros / USECS_PER_HOUR),
					(int) (micros / USECS_PER_MINUTE % 60), (int) (micros / USECS_PER_SEC % 60),
					(int) (micros % USECS_PER_SEC));
}

static char *
timestamp_text(int64 micros, bool zone)
{
	int64		days = micros / USECS_PER_DAY;
	int64		rest = micros % USECS_PER_DAY;
	char	   *date;
	char	   *time;
	char	   *era;

	if (rest < 0)
	{
		rest += USECS_PER_DAY;
		days--;
	}
	date = date_text(days);
	time = time_text(rest);
	if (date == NULL)
		return NULL;
	era = strchr(date, ' ');
	return psprintf("%.*s %s%s%s", (int) strcspn(date, " "), date, time, zone ? "+00" : "",
					era ? era : "");
}

/* A number in the place of a date or time. */
static bool
number_text(const DebeziumColumn *column, DebeziumEncoding encoding, const char *digits,
			Size size, KafkaFailure *failure, const char **text)
{
	char	   *string = pnstrdup(digits, size);
	char	   *end;
	int64		number;
	int64		micros;

	errno = 0;
	number = strtoi64(string, &end, 10);
	if (*end != '\0' || errno != 0)
		return report_value(column, digits, size, "An integer is expected.", failure);
	if (encoding == ENCODED_DEFAULT)
		encoding = column->type == DATEOID ? ENCODED_DAYS
			: column->type != INTERVALOID && column->typmod >= 0 && column->typmod <= 3
			? ENCODED_MILLIS : ENCODED_MICROS;
	*text = NULL;
	if (column->type == DATEOID && encoding == ENCODED_DAYS)
		*text = date_text(number);
	else if (to_micros(number, encoding, &micros))
	{
		switch (column->type)
		{
			case DATEOID:
				*text = date_text(micros / USECS_PER_DAY - (micros % USECS_PER_DAY < 0));
				break;
			case TIMEOID:
				*text = time_text(micros);
				break;
			case INTERVALOID:
				*text = psprintf("%lld microseconds", (long long) micros);
				break;
			default:
				*text = timestamp_text(micros, column->type == TIMESTAMPTZOID);
				break;
		}
	}
	if (*text == NULL)
	{
		KafkaFailureReport(failure, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, NULL,
						   "%s out of range in a change event: \"%s\"",
						   format_type_be(column->type), string);
		return false;
	}
	return true;
}

/* Base64 as bytes. */
static bool
decode_base64(const DebeziumColumn *column, const char *text, Size size, KafkaFailure *failure,
			  unsigned char **bytes, int *nbytes)
{
	int			room;

	if (size > MaxAllocSize / 2)
		return report_value(column, text, size, "It is too long.", failure);
	room = pg_b64_dec_len((int) size);
	*bytes = palloc(room + 1);
	*nbytes = pg_b64_decode(text, (int) size, (void *) *bytes, room);
	if (*nbytes < 0)
		return report_value(column, text, size, "It is not base64.", failure);
	return true;
}

/* Base64 as text that bytea_in() reads. */
static bool
bytea_text(const DebeziumColumn *column, const char *base64, Size size, KafkaFailure *failure,
		   const char **text)
{
	unsigned char *bytes;
	int			nbytes;
	char	   *hex;

	if (!decode_base64(column, base64, size, failure, &bytes, &nbytes))
		return false;
	hex = palloc_extended((Size) nbytes * 2 + 3, MCXT_ALLOC_HUGE);
	hex[0] = '\\';
	hex[1] = 'x';
	hex_encode((const char *) bytes, nbytes, hex + 2);
	hex[2 + nbytes * 2] = '\0';
	*text = hex;
	return true;
}

/* A number that Java's BigInteger wrote, and how many of its digits are behind the point, as text. */
static bool
decimal_text(const DebeziumColumn *column, const char *base64, Size size, int scale,
			 KafkaFailure *failure, const char **text)
{
	unsigned char *bytes;
	int			nbytes;
	bool		negative;
	StringInfoData digits;		/* backwards */
	StringInfoData output;

	if (!decode_base64(column, base64, size, failure, &bytes, &nbytes))
		return false;
	if (nbytes == 0 || nbytes > MAX_DECIMAL || scale < -NUMERIC_MAX_PRECISION ||
		scale > MAX_DECIMAL)
		return report_value(column, base64, size, "It is no decimal.", failure);
	negative = (bytes[0] & 0x80) != 0;
	if (negative)
	{
		int			carry = 1;

		for (int i = nbytes - 1; i >= 0; i--)
		{
			carry += (unsigned char) ~bytes[i];
			bytes[i] = (unsigned char) carry;
			carry >>= 8;
		}
	}
	initStringInfo(&digits);
	for (int first = 0; first < nbytes;)
	{
		int			rest = 0;

		for (int i = first; i < nbytes; i++)
		{
			rest = rest * 256 + bytes[i];
			bytes[i] = (unsigned char) (rest / 10);
			rest %= 10;
		}
		appendStringInfoChar(&digits, (char) ('0' + rest));
		while (first < nbytes && bytes[first] == 0)
			first++;
	}
	while (digits.len <= scale)
		appendStringInfoChar(&digits, '0');
	initStringInfo(&output);
	if (negative)
		appendStringInfoChar(&output, '-');
	for (int i = digits.len - 1; i >= 0; i--)
	{
		appendStringInfoChar(&output, digits.data[i]);
		if (i == scale && scale > 0)
			appendStringInfoChar(&output, '.');
	}
	for (int i = scale; i < 0; i++)
		appendStringInfoChar(&output, '0');
	*text = output.data;
	return true;
}

/* {"scale": 2, "value": "AQ=="}, as numeric without a scale is written. */
static bool
variable_decimal_text(DebeziumState *state, const DebeziumColumn *column, const char *object,
					  Size size, KafkaFailure *failure, const char **text)
{
	const KafkaJsonMember *scale = state->decimal_scale;
	const KafkaJsonMember *value = state->decimal_value;
	const char *base64;
	Size		base64_size;

	if (!KafkaJsonRead(&state->decimal_reader, state->decimal, object, size) ||
		!KafkaJsonFound(&state->decimal_reader, scale) || scale->kind != KAFKA_JSON_NUMBER ||
		!KafkaJsonFound(&state->decimal_reader, value) || value->kind != KAFKA_JSON_STRING)
		return report_value(column, object, size, "It is no decimal.", failure);
	if (!KafkaJsonMemberText(&state->decoder, value, failure, &base64, &base64_size))
		return false;
	return decimal_text(column, base64, base64_size,
						(int) strtol(pnstrdup(scale->text, scale->size), NULL, 10), failure, text);
}

/* Whether a string can be a number: otherwise it is one that only a schema tells how to read. */
static bool
is_numeric_text(const char *text, Size size)
{
	Size		i = 0;

	if (size > 0 && (text[0] == '-' || text[0] == '+'))
		i++;
	if (i == size)
		return false;
	if (pg_strncasecmp(text + i, "inf", Min(size - i, 3)) == 0 ||
		pg_strncasecmp(text, "nan", Min(size, 3)) == 0)
		return true;
	for (; i < size; i++)
	{
		if (strchr("0123456789.eE+-", text[i]) == NULL)
			return false;
	}
	return true;
}

static bool
is_time_type(Oid type)
{
	return type == DATEOID || type == TIMEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID ||
		type == INTERVALOID;
}

/*
 * The text of a scalar that Debezium writes in a way of its own, for the type's input function; *text
 * is NULL where it is as everybody's.
 */
static bool
convert_scalar(DebeziumState *state, const DebeziumColumn *column, DebeziumMeaning meaning,
			   KafkaJsonKind kind, const char *string, Size size, KafkaFailure *failure,
			   const char **text)
{
	*text = NULL;
	if (kind == KAFKA_JSON_NUMBER && is_time_type(column->type))
		return number_text(column, meaning.encoding, string, size, failure, text);
	if (kind == KAFKA_JSON_STRING && meaning.encoding == ENCODED_DECIMAL &&
		column->type != BYTEAOID)
		return decimal_text(column, string, size, meaning.scale, failure, text);
	if (kind == KAFKA_JSON_STRING && column->type == BYTEAOID)
		return bytea_text(column, string, size, failure, text);
	if (kind == KAFKA_JSON_OBJECT && column->type == NUMERICOID)
		return variable_decimal_text(state, column, string, size, failure, text);
	if (kind == KAFKA_JSON_STRING && column->type == NUMERICOID && !is_numeric_text(string, size))
		return report_value(column, string, size,
							"It may be a decimal in base64, which needs its schema: set the connector's "
							"decimal.handling.mode to string, or schemas.enable to true.", failure);
	return true;
}

/* An array with its elements as the input function of their type has them. */
static bool
convert_array(DebeziumState *state, const DebeziumColumn *column, DebeziumMeaning meaning,
			  const char *array, Size size, KafkaFailure *failure, const char **text, Size *len)
{
	StringInfoData output;
	const char *end = array + size;

	initStringInfo(&output);
	for (const char *p = array; p < end;)
	{
		const char *start = p;
		KafkaJsonMember member = {.kind = *p == '"' ? KAFKA_JSON_STRING : KAFKA_JSON_NUMBER};
		const char *string;
		Size		stringlen;
		const char *element;

		if (*p == '"')
		{
			for (p++; *p != '"'; p++)
				p += *p == '\\';
			p++;
		}
		else if (*p == '-' || (*p >= '0' && *p <= '9'))
			p += strspn(p, "-+.eE0123456789");
		else
		{
			appendStringInfoChar(&output, *p++);
			continue;
		}
		member.text = member.kind == KAFKA_JSON_STRING ? start + 1 : start;
		member.size = p - start - (member.kind == KAFKA_JSON_STRING ? 2 : 0);
		member.escaped = memchr(start, '\\', p - start) != NULL;
		if (!KafkaJsonMemberText(&state->decoder, &member, failure, &string, &stringlen) ||
			!convert_scalar(state, column, meaning, member.kind, string, stringlen, failure,
							&element))
			return false;
		if (element)
			KafkaJsonAppendString(&output, element, strlen(element));
		else
			appendBinaryStringInfo(&output, start, (int) (p - start));
	}
	*text = output.data;
	*len = output.len;
	return true;
}

/* Whether a member stands for a value that the event does not have. */
static bool
is_unavailable(const KafkaJsonMember *member)
{
	int			quote = member->kind == KAFKA_JSON_STRING ? 1 : 0;

	return KafkaPlaceholderIs(member->text - quote, member->size + 2 * quote);
}

/* A column's datum of a member that is not null. */
static bool
read_value(DebeziumState *state, const DebeziumColumn *column, const KafkaJsonMember *member,
		   DebeziumMeaning meaning, KafkaFailure *failure, Datum *value, bool *isnull)
{
	const char *string = member->text;
	const char *text = NULL;
	Size		size = member->size;
	bool		json = column->column.input == KAFKA_JSON_INPUT_JSON;

	if (json && member->kind == KAFKA_JSON_STRING &&
		(meaning.encoding == ENCODED_JSON || (state->foreign && state->value.known == NULL)))
	{
		if (!KafkaJsonMemberText(&state->decoder, member, failure, &string, &size))
			return false;
		return KafkaDatumReadText(column->reader, string, size, failure, value, isnull);
	}
	if (column->is_array && member->kind == KAFKA_JSON_ARRAY)
	{
		KafkaJsonMember array = *member;

		if (is_time_type(column->type) || column->type == BYTEAOID ||
			meaning.encoding == ENCODED_DECIMAL)
		{
			if (!convert_array(state, column, meaning, string, size, failure, &array.text,
							   &array.size))
				return false;
		}
		return KafkaJsonReadColumn(&state->decoder, &column->column, &array, failure, value,
								   isnull);
	}
	if (column->column.input == KAFKA_JSON_INPUT_TEXT)
	{
		if (member->escaped && (column->type == BYTEAOID || column->type == NUMERICOID ||
								meaning.encoding == ENCODED_DECIMAL) &&
			!KafkaJsonMemberText(&state->decoder, member, failure, &string, &size))
			return false;
		if (!convert_scalar(state, column, meaning, member->kind, string, size, failure, &text))
			return false;
		if (text)
			return KafkaDatumReadText(column->reader, text, strlen(text), failure, value, isnull);
	}
	return KafkaJsonReadColumn(&state->decoder, &column->column, member, failure, value, isnull);
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
		else if (of_row && is_unavailable(member))
		{
			state->unavailable[column->column.attr] = true;
			state->some_unavailable = true;
			continue;
		}
		else
			read = read_value(state, column, member, column->meanings[image == IMAGE_KEY],
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
		forget_schema(state, key);
	else if (!learn_schema(state, key, failure))
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
		forget_schema(state, value);
	else if (!learn_schema(state, value, failure))
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
