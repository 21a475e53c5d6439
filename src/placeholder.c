/*
 * placeholder.c
 *		What stands in a change event for a value that it does not have.
 *
 * Debezium has a word for it, and where the value's type has no room for that, something made of the
 * word. A value that is the word is written likewise there, but not by kafka_publish(), which makes use
 * of it that JSON has several ways to write a value.
 */
#include "postgres.h"

#include "placeholder.h"

#define WORD "__debezium_unavailable_value"
#define BASE64 "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="

#define PLACEHOLDER(json) {json, sizeof(json) - 1}

static const struct
{
	const char *json;
	Size		size;
}			placeholders[] = {

	PLACEHOLDER("\"" WORD "\""),
	PLACEHOLDER("\"" BASE64 "\""),	/* bytea */
	PLACEHOLDER("[\"" WORD "\"]"),	/* arrays of text, json */
	PLACEHOLDER("[\"" BASE64 "\"]"),	/* of bytea */
	PLACEHOLDER("[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]"),	/* of uuid: of version 3 */
	/* of integer, bigint, date: the word's bytes */
	PLACEHOLDER("[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,"
				"95,118,97,108,117,101]"),
	PLACEHOLDER("{\"" WORD "\":\"" WORD "\"}"), /* hstore as a map ... */
	PLACEHOLDER("\"{\\\"" WORD "\\\":\\\"" WORD "\\\"}\"")	/* ... and as JSON in a string */
};

bool
KafkaPlaceholderIs(const char *json, Size size)
{
	for (int i = 0; i < lengthof(placeholders); i++)
	{
		if (size == placeholders[i].size && memcmp(json, placeholders[i].json, size) == 0)
			return true;
	}
	return false;
}

void
KafkaPlaceholderAvoid(StringInfo output, int start)
{
	char	   *json;

	if (likely(!KafkaPlaceholderIs(output->data + start, output->len - start)))
		return;
	json = pstrdup(output->data + start);
	output->len = start;
	if (*json == '"')
		appendStringInfo(output, "\"\\u%04x%s", json[1], json + 2);
	else
		appendStringInfo(output, "%c %s", *json, json + 1);
	pfree(json);
}
