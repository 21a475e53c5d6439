/*
 * publish_value.c
 *		A change of a row as JSON: Debezium's envelope, the row alone, the key.
 *
 * All text is made under fixed settings (json_datum.h), in the database's encoding, and sent in
 * UTF-8.
 */
#include "postgres.h"

#include <sys/time.h>

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "json.h"
#include "placeholder.h"
#include "publish_private.h"
#include "text.h"

#define CONNECTOR_VERSION "1.0" /* as in kafka_fdw.control */

static void
append_literal(StringInfo output, const char *literal, int len)
{
	appendBinaryStringInfo(output, literal, len);
}

#define APPEND(output, literal) append_literal(output, literal, sizeof(literal) - 1)

static void
append_member(StringInfo output, const char *name, const char *value)
{
	appendStringInfo(output, "\"%s\":", name);
	KafkaJsonAppendString(output, value, strlen(value));
}

static void
append_int64(StringInfo output, int64 value)
{
	enlargeStringInfo(output, MAXINT8LEN + 1);
	output->len += pg_lltoa(value, output->data + output->len);
}

void
kafka_publish_open_column(PublishColumn *column, TupleDesc desc, AttrNumber attnum,
						  const PublishArguments *arguments)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, attnum - 1);
	StringInfoData prefix;

	initStringInfo(&prefix);
	KafkaJsonAppendString(&prefix, NameStr(attribute->attname),
						  strlen(NameStr(attribute->attname)));
	appendStringInfoChar(&prefix, ':');
	column->attr = attnum - 1;
	column->type = getBaseType(attribute->atttypid);
	column->byval = attribute->attbyval;
	column->len = attribute->attlen;
	column->prefix = prefix.data;
	column->prefixlen = prefix.len;
	column->writer = KafkaJsonOpenWrite(attribute->atttypid,
										arguments->numeric_number ? KAFKA_JSON_CHANGE_NUMBER
										: KAFKA_JSON_CHANGE);
}

/*
 * The source's name is the server's, as a connector's is that of the cluster it reads. Its
 * connector is PostgreSQL's, since it tells a consumer what else is there.
 */
void
kafka_publish_open_source(KafkaPublication *publication)
{
	StringInfo	source = &publication->source;
	StringInfo	origin = &publication->origin;

	initStringInfo(source);
	APPEND(source, "\"source\":{");
	append_member(source, "version", CONNECTOR_VERSION);
	appendStringInfoChar(source, ',');
	append_member(source, "connector", "postgresql");
	appendStringInfoChar(source, ',');
	append_member(source, "name", publication->server->name);

	initStringInfo(origin);
	append_member(origin, "db", get_database_name(MyDatabaseId));
	appendStringInfoChar(origin, ',');
	append_member(origin, "schema",
				  get_namespace_name(get_rel_namespace(publication->published)));
	appendStringInfoChar(origin, ',');
	append_member(origin, "table", publication->relname);
}

/* Append columns of a row as an object; null for no row. */
static void
append_row(const PublishColumn *columns, int ncolumns, const PublishRow *row, StringInfo output)
{
	if (row == NULL)
	{
		APPEND(output, "null");
		return;
	}
	appendStringInfoCharMacro(output, '{');
	for (int i = 0; i < ncolumns; i++)
	{
		const PublishColumn *column = &columns[i];

		if (i > 0)
			appendStringInfoCharMacro(output, ',');
		append_literal(output, column->prefix, column->prefixlen);
		if (row->nulls[column->attr])
			APPEND(output, "null");
		else
		{
			int			start = output->len;

			KafkaJsonWrite(column->writer, row->values[column->attr], output);
			KafkaPlaceholderAvoid(output, start);
		}
	}
	appendStringInfoCharMacro(output, '}');
}

/* A point in time, in the three units that Debezium has it. */
static void
append_times(TimestampTz timestamp, StringInfo output)
{
	int64		us = timestamp + KAFKA_EPOCH_DIFFERENCE_US;

	APPEND(output, ",\"ts_ms\":");
	append_int64(output, us / 1000);
	APPEND(output, ",\"ts_us\":");
	append_int64(output, us);
	APPEND(output, ",\"ts_ns\":");
	append_int64(output, us);
	APPEND(output, "000");
}

/*
 * Where the change comes from. Its time is that of the transaction, as for Debezium, to which it
 * means the commit, and which is all that can be known of that here.
 */
static void
append_source(const KafkaPublication *publication, PublishOp op, StringInfo output)
{
	XLogRecPtr	lsn = GetXLogInsertRecPtr();

	append_literal(output, publication->source.data, publication->source.len);
	append_times(GetCurrentTransactionStartTimestamp(), output);
	if (op == PUBLISH_READ)
		APPEND(output, ",\"snapshot\":\"true\",");
	else
		APPEND(output, ",\"snapshot\":\"false\",");
	append_literal(output, publication->origin.data, publication->origin.len);
	APPEND(output, ",\"txId\":");
	append_int64(output, (int64) U64FromFullTransactionId(GetTopFullTransactionId()));
	APPEND(output, ",\"lsn\":");
	append_int64(output, (int64) lsn);
	APPEND(output, ",\"xmin\":null}");
}

static void
append_envelope(const KafkaPublication *publication, PublishOp op, const PublishRow *before,
				const PublishRow *after, StringInfo output)
{
	APPEND(output, "{\"before\":");
	append_row(publication->columns, publication->ncolumns, before, output);
	APPEND(output, ",\"after\":");
	append_row(publication->columns, publication->ncolumns, after, output);
	appendStringInfoCharMacro(output, ',');
	append_source(publication, op, output);
	APPEND(output, ",\"transaction\":null,\"op\":\"");
	appendStringInfoCharMacro(output, (char) op);
	appendStringInfoCharMacro(output, '"');
	append_times(GetCurrentTimestamp(), output);
	appendStringInfoCharMacro(output, '}');
}

void
kafka_publish_value(KafkaPublication *publication, PublishOp op, const PublishRow *before,
					const PublishRow *after, KafkaOutgoing *message)
{
	StringInfoData output;

	initStringInfo(&output);
	switch (publication->arguments.format)
	{
		case PUBLISH_DEBEZIUM:
			append_envelope(publication, op, before, after, &output);
			break;

		case PUBLISH_ROW:
			append_row(publication->columns, publication->ncolumns, after, &output);
			break;

		case PUBLISH_KEY:
			appendStringInfo(&output, "{\"op\":\"%c\"}", (char) op);
			break;
	}
	message->value = output.data;
	message->valuelen = output.len;
	KafkaTextEncode(PG_UTF8, &message->value, &message->valuelen);
}

/*
 * The text of a key's only column: what its JSON would have, without quotes. What is no string there
 * is the same as text, and so is JSON itself, whose strings may stand for what is no text.
 */
static void
append_key_text(const PublishColumn *column, const PublishRow *row, StringInfo output)
{
	Datum		value = row->values[column->attr];

	if (row->nulls[column->attr])
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the key's column is null"),
				 errdetail("With key_format \"text\" there would be no key."),
				 errhint("Declare the column NOT NULL, or use key_format \"json\".")));
	if (column->type == TEXTOID || column->type == VARCHAROID || column->type == BPCHAROID)
	{
		struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

		append_literal(output, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
		return;
	}
	KafkaJsonWrite(column->writer, value, output);
	if (output->data[0] == '"' && column->type != JSONOID && column->type != JSONBOID)
	{
		/* The strings that are left have no escapes but those of odd types. */
		Size		size = output->len - 2;
		char	   *text = palloc(size + 1);

		if (memchr(output->data, '\\', output->len) == NULL)
			memcpy(text, output->data + 1, size);
		else if (KafkaJsonUnescape(output->data + 1, size, NULL, NULL, text, &size) !=
				 KAFKA_JSON_STRING_OK)
			elog(ERROR, "could not read a string of JSON that was just written");
		resetStringInfo(output);
		append_literal(output, text, (int) size);
	}
}

void
kafka_publish_key(KafkaPublication *publication, const PublishRow *row, KafkaOutgoing *message)
{
	StringInfoData output;

	initStringInfo(&output);
	if (publication->arguments.key_text)
		append_key_text(&publication->key[0], row, &output);
	else
		append_row(publication->key, publication->nkey, row, &output);
	message->key = output.data;
	message->keylen = output.len;
	KafkaTextEncode(PG_UTF8, &message->key, &message->keylen);
}

/* Rows of the same bytes have the same key; others may have one all the same: 1.0 and 1.00 not. */
bool
kafka_publish_same_key(KafkaPublication *publication, const PublishRow *before,
					   const PublishRow *after)
{
	for (int i = 0; i < publication->nkey; i++)
	{
		const PublishColumn *column = &publication->key[i];
		bool		isnull = before->nulls[column->attr];

		if (isnull != after->nulls[column->attr])
			return false;
		if (!isnull && !datum_image_eq(before->values[column->attr], after->values[column->attr],
									   column->byval, column->len))
		{
			KafkaOutgoing old;
			KafkaOutgoing new;

			kafka_publish_key(publication, before, &old);
			kafka_publish_key(publication, after, &new);
			return old.keylen == new.keylen && memcmp(old.key, new.key, old.keylen) == 0;
		}
	}
	return true;
}
