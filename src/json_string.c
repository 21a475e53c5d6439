/*
 * json_string.c
 *		Strings of JSON: what they stand for, and text as one.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "json_private.h"

/*
 * The code point of the \u escape at p, whose digits are known to be good, or of the surrogate pair
 * that begins there; moves behind it.
 */
static KafkaJsonString
read_codepoint(const char **p, const char *end, uint32 *codepoint)
{
	uint32		first = hex_digits(*p + 2);
	uint32		second;

	*p += 6;
	*codepoint = first;
	if (first == 0)
		return KAFKA_JSON_STRING_ZERO;
	if (is_utf16_surrogate_second(first))
		return KAFKA_JSON_STRING_LOW;
	if (!is_utf16_surrogate_first(first))
		return KAFKA_JSON_STRING_OK;

	if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return KAFKA_JSON_STRING_LOW;
	second = hex_digits(*p + 2);
	if (is_utf16_surrogate_first(second))
		return KAFKA_JSON_STRING_HIGH;
	if (!is_utf16_surrogate_second(second))
		return KAFKA_JSON_STRING_LOW;
	*p += 6;
	*codepoint = surrogate_pair_to_codepoint(first, second);
	return KAFKA_JSON_STRING_OK;
}

/* The character behind a backslash other than u. */
static inline char
escaped_char(char c)
{
	switch (c)
	{
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		default:
			return c;
	}
}

KafkaJsonString
KafkaJsonUnescape(const char *string, Size size, KafkaJsonEncodeFn encode, void *arg,
				  char *output, Size *outsize)
{
	const char *p = string;
	const char *end = string + size;
	char	   *out = output;

	for (;;)
	{
		const char *plain = p;

		while (p < end && *p != '\\')
			p++;
		memcpy(out, plain, p - plain);
		out += p - plain;
		if (p == end)
			break;

		if (p[1] != 'u')
		{
			*out++ = escaped_char(p[1]);
			p += 2;
		}
		else
		{
			uint32		codepoint;
			KafkaJsonString result = read_codepoint(&p, end, &codepoint);

			if (result != KAFKA_JSON_STRING_OK)
				return result;
			if (codepoint < 0x80)
				*out++ = (char) codepoint;
			else
			{
				Size		len = encode(arg, codepoint, out);

				if (len == 0)
					return KAFKA_JSON_STRING_LACKING;
				out += len;
			}
		}
	}
	*outsize = out - output;
	return KAFKA_JSON_STRING_OK;
}

/* Append the escape of a special character. */
static void
append_escape(StringInfo output, char c)
{
	static const char letters[] = "btn\0fr";	/* from 8 on; 11 has none */

	if (c == '"' || c == '\\')
	{
		appendStringInfoChar(output, '\\');
		appendStringInfoChar(output, c);
	}
	else if (c >= '\b' && c <= '\r' && letters[c - '\b'] != '\0')
	{
		appendStringInfoChar(output, '\\');
		appendStringInfoChar(output, letters[c - '\b']);
	}
	else
		appendStringInfo(output, "\\u%04x", (unsigned int) (unsigned char) c);
}

void
KafkaJsonAppendString(StringInfo output, const char *string, Size size)
{
	const char *p = string;
	const char *end = string + size;

	if (size > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%zu bytes are too many for a JSON string", size)));
	enlargeStringInfo(output, (int) size + 2);
	appendStringInfoCharMacro(output, '"');
	for (;;)
	{
		const char *plain = p;

		p = skip_plain(p, end);
		appendBinaryStringInfo(output, plain, p - plain);
		if (p == end)
			break;
		append_escape(output, *p++);
	}
	appendStringInfoChar(output, '"');
}
