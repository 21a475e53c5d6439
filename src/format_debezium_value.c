/*
 * format_debezium_value.c
 *		Values of a change event: Debezium writes some types other than PostgreSQL does, times as
 *		numbers and bytes in base64.
 *
 * What a value means is told by the schema, where there is one, and else by the column's type. It is
 * made into text that the type's input function reads.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/base64.h"
#include "common/int.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "format_debezium.h"
#include "placeholder.h"

#define MAX_DECIMAL 16384		/* bytes of one */

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

/* A number of days since 1970 as text that date_in() reads; NULL: there is no such day. */
static char *
date_text(int64 number)
{
	int64		day = number - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE);
	int			year;
	int			month;
	int			mday;

	if (number < PG_INT32_MIN || number > PG_INT32_MAX || day < PG_INT32_MIN || !IS_VALID_DATE(day))
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
	int64		day = micros / USECS_PER_DAY;
	int64		rest = micros % USECS_PER_DAY;
	char	   *date;
	char	   *time;
	char	   *era;

	if (rest < 0)
	{
		rest += USECS_PER_DAY;
		day--;
	}
	date = date_text(day);
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

bool
kafka_debezium_is_unavailable(const KafkaJsonMember *member)
{
	int			quote = member->kind == KAFKA_JSON_STRING ? 1 : 0;

	return KafkaPlaceholderIs(member->text - quote, member->size + 2 * quote);
}

bool
kafka_debezium_read_value(DebeziumState *state, const DebeziumColumn *column,
						  const KafkaJsonMember *member, DebeziumMeaning meaning,
						  KafkaFailure *failure, Datum *value, bool *isnull)
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
