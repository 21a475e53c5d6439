/*
 * text.c
 *		Text in messages: bytes in some encoding, text of the database, in both directions.
 *
 * Nothing from a topic may enter the database unverified: a wrong byte in a text value breaks
 * whatever touches it later, dumps included. The rules are those of pg_any_to_server() and
 * pg_server_to_any(), without their limit of raising an error for whatever is not text.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"
#include "text.h"

void
KafkaTextInit(KafkaText *text, int encoding, KafkaInvalidText invalid)
{
	int			database = GetDatabaseEncoding();

	text->encoding = encoding;
	text->conversion = InvalidOid;
	text->invalid = invalid;

	if (encoding == database || encoding == PG_SQL_ASCII)
		text->verify = database;
	else if (database == PG_SQL_ASCII && PG_VALID_BE_ENCODING(encoding))
		text->verify = encoding;
	else
	{
		text->verify = encoding;
		text->conversion = FindDefaultConversionProc(encoding, database);
		if (!OidIsValid(text->conversion))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("cannot convert messages from encoding \"%s\" to \"%s\"",
							pg_encoding_to_char(encoding), GetDatabaseEncodingName())));
	}
}

/* The number of bytes at the start that are text in the encoding. */
static int
valid_prefix(int encoding, const char *data, Size len)
{
	return pg_encoding_verifymbstr(encoding, data, (int) Min(len, INT_MAX));
}

/* True where the bytes can be converted, however they come out. */
static bool
can_be_converted(Size len)
{
	return len <= INT_MAX / MAX_CONVERSION_GROWTH - 1;
}

/* Convert all of the bytes, or return false and leave *data alone. */
static bool
convert(const KafkaText *text, const char **data, Size *len)
{
	Size		size = *len * MAX_CONVERSION_GROWTH + 1;
	char	   *result;

	if (*len == 0)
		return true;
	if (!can_be_converted(*len))
		return false;
	result = MemoryContextAllocHuge(CurrentMemoryContext, size);
	if (pg_do_encoding_conversion_buf(text->conversion, text->encoding, GetDatabaseEncoding(),
									  (unsigned char *) unconstify(char *, *data), (int) *len,
									  (unsigned char *) result, (int) size, true) != (int) *len)
	{
		pfree(result);
		return false;
	}
	*data = result;
	*len = strlen(result);
	return true;
}

bool
KafkaTextConvert(const KafkaText *text, const char **data, Size *len)
{
	if (OidIsValid(text->conversion) && convert(text, data, len))
		return true;

	if (text->invalid == KAFKA_INVALID_ESCAPE)
	{
		char	   *result;

		if (*len > (MaxAllocSize - 2) / 2)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%zu bytes are too many to be escaped", *len)));
		result = palloc(2 + 2 * *len);
		memcpy(result, "\\x", 2);
		hex_encode(*data, *len, result + 2);
		*data = result;
		*len = 2 + 2 * *len;
		return true;
	}
	return false;
}

/* The bytes at which text ends, as PostgreSQL writes them. */
static char *
bytes_at_fault(const KafkaText *text, const char *bad, Size len)
{
	int			nbad = 1;
	StringInfoData bytes;

	if (text->verify == PG_UTF8)
		nbad = (int) Min(len, pg_utf_mblen((const unsigned char *) bad));
	initStringInfo(&bytes);
	for (int i = 0; i < nbad; i++)
		appendStringInfo(&bytes, i > 0 ? " 0x%02x" : "0x%02x", (unsigned char) bad[i]);
	return bytes.data;
}

void
KafkaTextReport(const KafkaText *text, const char *data, Size len, const char *hint,
				KafkaFailure *failure)
{
	int			valid = valid_prefix(text->verify, data, len);
	int			sqlstate;
	char	   *message;

	if (len > INT_MAX || (OidIsValid(text->conversion) && !can_be_converted(len)))
	{
		sqlstate = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		message = psprintf("%zu bytes are too many for text", len);
	}
	else if (valid == (int) len)
	{
		sqlstate = ERRCODE_UNTRANSLATABLE_CHARACTER;
		message = psprintf("text in encoding \"%s\" has a character that encoding \"%s\" lacks",
						   pg_encoding_to_char(text->encoding), GetDatabaseEncodingName());
	}
	else
	{
		sqlstate = ERRCODE_CHARACTER_NOT_IN_REPERTOIRE;
		message = psprintf("invalid byte sequence for encoding \"%s\": %s",
						   pg_encoding_to_char(text->verify),
						   bytes_at_fault(text, data + valid, len - valid));
	}

	if (!failure->soft)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg_internal("%s", message),
				 hint ? errhint("%s", hint) : 0));
	KafkaFailureNote(failure, message);
}

void
KafkaTextEncode(int encoding, const char **data, Size *len)
{
	char	   *result = pg_server_to_any(*data, (int) *len, encoding);

	if (result != *data)
	{
		*data = result;
		*len = strlen(result);
	}
}
