/*
 * header.c
 *		Message headers as SQL values: jsonb and kafka_header[], in both directions.
 *
 * Kafka's headers are a list of (name, bytes) in which a name may come twice and bytes may be
 * null. An object of jsonb has no order and no name twice, so values of one name are gathered in
 * an array; the order *among* names is lost there, and nothing else: what is read from a topic and
 * sent again reads the same. kafka_header[] loses nothing.
 *
 * Header names and values that are text are UTF-8 by Kafka's convention, whatever the table's
 * encoding for keys and values.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "catalog/dependency.h"
#include "commands/extension.h"
#include "common/base64.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "header.h"
#include "text.h"

#define BASE64_MEMBER "base64"

/* A header's name as it is shown, with the header's place in the message. */
typedef struct ShownName
{
	const char *name;
	Size		len;
	int			index;
} ShownName;

/* Headers while they are gathered for sending. */
typedef struct HeaderList
{
	KafkaHeader *items;
	int			nitems;
	int			size;
} HeaderList;

/* Equal names stand together, in the order of the message. */
static int
compare_names(const void *a, const void *b)
{
	const ShownName *x = a;
	const ShownName *y = b;
	int			result;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	result = memcmp(x->name, y->name, x->len);
	return result != 0 ? result : x->index - y->index;
}

static JsonbValue
make_string(const char *data, Size len)
{
	JsonbValue	result;

	result.type = jbvString;
	result.val.string.val = unconstify(char *, data);
	result.val.string.len = (int) len;
	return result;
}

/* Add {"base64": "..."}, which stands for bytes that are not text. */
static void
push_base64(JsonbParseState **state, const char *data, Size len)
{
	JsonbValue	member = make_string(BASE64_MEMBER, strlen(BASE64_MEMBER));
	JsonbValue	string;
	char	   *encoded;
	int			size;

	if (len > JENTRY_OFFLENMASK / 4 * 3)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a header of %zu bytes is too large for jsonb", len),
				 errhint("A column of type kafka_header[] can show it.")));
	size = pg_b64_enc_len((int) len);
	encoded = palloc(size);
	size = pg_b64_encode((const void *) data, (int) len, encoded, size);
	if (size < 0)
		elog(ERROR, "could not encode a header in base64");
	string = make_string(encoded, size);

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(state, WJB_KEY, &member);
	pushJsonbValue(state, WJB_VALUE, &string);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* Add a header's value, as the value of a member (WJB_VALUE) or in an array (WJB_ELEM). */
static void
push_value(JsonbParseState **state, JsonbIteratorToken token, const KafkaText *text,
		   const KafkaHeader *header)
{
	const char *data = header->value;
	Size		len = header->len;
	JsonbValue	value;

	if (data == NULL)
		value.type = jbvNull;
	else if (KafkaTextDecode(text, &data, &len) && len <= JENTRY_OFFLENMASK)
		value = make_string(data, len);
	else
	{
		push_base64(state, header->value, header->len);
		return;
	}
	pushJsonbValue(state, token, &value);
}

Datum
KafkaHeaderToJsonb(const KafkaHeader *headers, int nheaders)
{
	JsonbParseState *state = NULL;
	JsonbValue *result;
	KafkaText	text;
	ShownName  *names = palloc(nheaders * sizeof(ShownName));

	/* Sorted as shown, so that names that only look alike when shown lose nothing either. */
	KafkaTextInit(&text, PG_UTF8, KAFKA_INVALID_ESCAPE);
	for (int i = 0; i < nheaders; i++)
	{
		names[i].name = headers[i].name;
		names[i].len = strlen(headers[i].name);
		names[i].index = i;
		KafkaTextDecode(&text, &names[i].name, &names[i].len);
	}
	qsort(names, nheaders, sizeof(ShownName), compare_names);

	text.invalid = KAFKA_INVALID_NULL;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int first = 0, next; first < nheaders; first = next)
	{
		JsonbValue	name = make_string(names[first].name, names[first].len);

		for (next = first + 1; next < nheaders; next++)
		{
			if (names[next].len != names[first].len ||
				memcmp(names[next].name, names[first].name, names[first].len) != 0)
				break;
		}

		pushJsonbValue(&state, WJB_KEY, &name);
		if (next == first + 1)
			push_value(&state, WJB_VALUE, &text, &headers[names[first].index]);
		else
		{
			pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
			for (int i = first; i < next; i++)
				push_value(&state, WJB_ELEM, &text, &headers[names[i].index]);
			pushJsonbValue(&state, WJB_END_ARRAY, NULL);
		}
	}
	result = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(result));
}

/*
 * The row type of kafka_header, which somebody may have altered. The caller releases it.
 */
static TupleDesc
header_rowtype(Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);

	if (desc->natts != 2 || TupleDescAttr(desc, 0)->atttypid != TEXTOID ||
		TupleDescAttr(desc, 1)->atttypid != BYTEAOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %s does not consist of a text and a bytea any more",
						format_type_be(type))));
	return desc;
}

bool
KafkaHeaderToArray(const KafkaHeader *headers, int nheaders, Oid arraytype,
				   KafkaFailure *failure, Datum *result)
{
	Oid			elemtype = get_element_type(arraytype);
	TupleDesc	desc = header_rowtype(elemtype);
	Datum	   *elements = palloc(nheaders * sizeof(Datum));
	KafkaText	text;
	int			bad = -1;

	KafkaTextInit(&text, PG_UTF8, KAFKA_INVALID_NULL);
	for (int i = 0; i < nheaders; i++)
	{
		const char *name = headers[i].name;
		Size		len = strlen(name);
		Datum		values[2] = {0};
		bool		nulls[2] = {false, headers[i].value == NULL};

		if (!KafkaTextDecode(&text, &name, &len))
		{
			bad = i;
			break;
		}
		values[0] = PointerGetDatum(cstring_to_text_with_len(name, (int) len));
		if (!nulls[1])
			values[1] = PointerGetDatum(cstring_to_text_with_len(headers[i].value,
																 (int) headers[i].len));
		elements[i] = HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
	}
	ReleaseTupleDesc(desc);

	if (bad >= 0)
	{
		KafkaFailureReport(failure, ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
						   "A column of type jsonb shows such a name in hexadecimal.",
						   "the name of message header %d is not text", bad + 1);
		return false;
	}
	*result = PointerGetDatum(construct_array(elements, nheaders, elemtype, -1, false,
											  TYPALIGN_DOUBLE));
	return true;
}

/*
 * Add a header. The name is text of the database; the value goes as it is given, NULL is null.
 */
static void
add_header(HeaderList *list, const char *name, Size namelen, const char *value, Size len)
{
	KafkaHeader *header;
	char	   *copy;

	if (list->nitems == list->size)
	{
		list->size = Max(2 * list->size, 8);
		list->items = list->items == NULL
			? palloc(list->size * sizeof(KafkaHeader))
			: repalloc(list->items, list->size * sizeof(KafkaHeader));
	}
	KafkaTextEncode(PG_UTF8, &name, &namelen);
	copy = pnstrdup(name, namelen);

	header = &list->items[list->nitems++];
	header->name = copy;
	header->value = value;
	header->len = len;
}

/* Refuse a value of a shape that headers do not have. */
pg_noreturn static void
report_shape(const JsonbValue *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for message header \"%.*s\"",
					name->val.string.len, name->val.string.val),
			 errdetail("A header's value is a string, a number, a boolean, null, "
					   "{\"base64\": \"...\"}, or an array of these.")));
}

/* Add one header from its JSON value, which is not an array. */
static void
add_json_header(HeaderList *list, const JsonbValue *name, const JsonbValue *value)
{
	const char *data = NULL;
	Size		len = 0;

	switch (value->type)
	{
		case jbvNull:
			break;

		case jbvString:
			data = value->val.string.val;
			len = value->val.string.len;
			KafkaTextEncode(PG_UTF8, &data, &len);
			break;

		case jbvNumeric:
			data = DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
			len = strlen(data);
			break;

		case jbvBool:
			data = value->val.boolean ? "true" : "false";
			len = strlen(data);
			break;

		case jbvBinary:
			{
				JsonbContainer *object = value->val.binary.data;
				JsonbValue *encoded = NULL;
				char	   *decoded;
				int			size;

				if (JsonContainerIsObject(object) && JsonContainerSize(object) == 1)
					encoded = getKeyJsonValueFromContainer(object, BASE64_MEMBER,
														   strlen(BASE64_MEMBER), NULL);
				if (encoded == NULL || encoded->type != jbvString)
					report_shape(name);

				size = pg_b64_dec_len(encoded->val.string.len);
				decoded = palloc(size + 1);
				size = pg_b64_decode(encoded->val.string.val, encoded->val.string.len,
									 (void *) decoded, size);
				if (size < 0)
					ereport(ERROR,
							(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							 errmsg("invalid base64 in message header \"%.*s\"",
									name->val.string.len, name->val.string.val)));
				data = decoded;
				len = size;
				break;
			}

		default:
			elog(ERROR, "unexpected type of jsonb value: %d", (int) value->type);
	}
	add_header(list, name->val.string.val, name->val.string.len, data, len);
}

int
KafkaHeaderFromJsonb(Datum jsonb, KafkaHeader **headers)
{
	Jsonb	   *object = DatumGetJsonbP(jsonb);
	HeaderList	list = {0};
	JsonbIterator *members;
	JsonbValue	name;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("message headers must be a JSON object")));

	members = JsonbIteratorInit(&object->root);
	(void) JsonbIteratorNext(&members, &value, false);
	while (JsonbIteratorNext(&members, &name, true) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&members, &value, true);
		if (value.type == jbvBinary && JsonContainerIsArray(value.val.binary.data))
		{
			JsonbIterator *elements = JsonbIteratorInit(value.val.binary.data);
			JsonbValue	element;

			(void) JsonbIteratorNext(&elements, &element, false);
			while (JsonbIteratorNext(&elements, &element, true) == WJB_ELEM)
				add_json_header(&list, &name, &element);
		}
		else
			add_json_header(&list, &name, &value);
	}
	*headers = list.items;
	return list.nitems;
}

int
KafkaHeaderFromArray(Datum array, KafkaHeader **headers)
{
	ArrayType  *elements = DatumGetArrayTypeP(array);
	TupleDesc	desc = header_rowtype(ARR_ELEMTYPE(elements));
	HeaderList	list = {0};
	Datum	   *datums;
	bool	   *nulls;
	int			ndatums;

	deconstruct_array(elements, ARR_ELEMTYPE(elements), -1, false, TYPALIGN_DOUBLE,
					  &datums, &nulls, &ndatums);
	for (int i = 0; i < ndatums; i++)
	{
		HeapTupleHeader header;
		HeapTupleData tuple;
		Datum		values[2];
		bool		isnull[2];
		text	   *name;
		const char *data = NULL;
		Size		len = 0;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("message header %d is NULL", i + 1)));
		header = DatumGetHeapTupleHeader(datums[i]);
		tuple.t_len = HeapTupleHeaderGetDatumLength(header);
		ItemPointerSetInvalid(&tuple.t_self);
		tuple.t_tableOid = InvalidOid;
		tuple.t_data = header;
		heap_deform_tuple(&tuple, desc, values, isnull);

		if (isnull[0])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("the name of message header %d is NULL", i + 1)));
		name = DatumGetTextPP(values[0]);
		if (!isnull[1])
		{
			bytea	   *value = DatumGetByteaPP(values[1]);

			data = VARDATA_ANY(value);
			len = VARSIZE_ANY_EXHDR(value);
		}
		add_header(&list, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), data, len);
	}
	ReleaseTupleDesc(desc);

	*headers = list.items;
	return list.nitems;
}

bool
KafkaHeaderIsArrayType(Oid type)
{
	Oid			element = get_element_type(type);
	HeapTuple	tuple;
	bool		named;

	/* The name first: it is cheap, and nearly always decides. */
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(element));
	if (!HeapTupleIsValid(tuple))
		return false;
	named = strcmp(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname), "kafka_header") == 0;
	ReleaseSysCache(tuple);
	return named &&
		getExtensionOfObject(TypeRelationId, element) == get_extension_oid("kafka_fdw", true);
}
