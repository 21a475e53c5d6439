/*
 * subscription_letter.c
 *		Dead letters: messages that could not be stored, put aside with all that they had.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "failure.h"
#include "header.h"
#include "access.h"
#include "subscription_private.h"

static Datum
bytes_or_null(const char *bytes, Size len, char *null)
{
	*null = bytes ? ' ' : 'n';
	return bytes ? PointerGetDatum(cstring_to_text_with_len(bytes, (int) len)) : (Datum) 0;
}

/* A message's headers as kafka_header[]; type is that type. */
static Datum
headers_or_null(const KafkaMessage *message, Oid type, char *null)
{
	KafkaHeader *headers;
	int			nheaders = KafkaIngestBatchHeaders(NULL, message, &headers);
	KafkaFailure failure;
	Datum		result;

	*null = nheaders > 0 ? ' ' : 'n';
	if (nheaders == 0)
		return (Datum) 0;
	KafkaFailureInit(&failure, false);
	(void) KafkaHeaderToArray(headers, nheaders, type, &failure, &result);
	return result;
}

void
kafka_subscription_bury(const KafkaSubscription *subscription, const char *topic,
						const KafkaMessage *message, const char *error)
{
	KafkaAccess access = kafka_access_begin();
	Oid			header_type = get_array_type(kafka_access_type(&access, "kafka_header"));
	Oid			types[] = {TEXTOID, TEXTOID, INT4OID, INT8OID, TIMESTAMPTZOID, BYTEAOID, BYTEAOID,
	header_type, TEXTOID, OIDOID};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];
	bool		has_time = message->timestamp != KAFKA_NO_TIMESTAMP;
	TimestampTz time = has_time ? kafka_ms_to_timestamptz(message->timestamp) : 0;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = CStringGetTextDatum(subscription->name);
	values[1] = CStringGetTextDatum(topic);
	values[2] = Int32GetDatum(message->partition);
	values[3] = Int64GetDatum(message->offset);
	/* A time beyond PostgreSQL's may be what is wrong with the message. */
	values[4] = TimestampTzGetDatum(time);
	nulls[4] = has_time && message->timestamp >= 0 &&
		message->timestamp < END_TIMESTAMP / 1000 ? ' ' : 'n';
	values[5] = bytes_or_null(message->key, message->keylen, &nulls[5]);
	values[6] = bytes_or_null(message->value, message->valuelen, &nulls[6]);
	values[7] = headers_or_null(message, header_type, &nulls[7]);
	values[8] = CStringGetTextDatum(error);
	values[9] = ObjectIdGetDatum(subscription->owner);
	kafka_access_execute(psprintf("INSERT INTO %s.kafka_dead_letters (subscription, topic, partition, "
								  "\"offset\", \"timestamp\", key, value, headers, error, role) "
								  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", access.schema),
						 lengthof(types), types, values, nulls, SPI_OK_INSERT);
	kafka_access_end(&access);
}

/* Add the letter of a row to the batch. */
static void
add_letter(uint64 i, KafkaIngestBatch *batch)
{
	KafkaMessage message = {0};
	KafkaHeader *headers = NULL;
	int			nheaders = 0;
	bool		isnull;
	Datum		datum;

	message.partition = (int32) kafka_access_int(i, 2);
	message.offset = kafka_access_int(i, 3);
	datum = kafka_access_column(i, 4, &isnull);
	message.timestamp = isnull ? KAFKA_NO_TIMESTAMP
		: kafka_timestamptz_to_ms(DatumGetTimestampTz(datum));
	message.timestamp_type = isnull ? KAFKA_TIMESTAMP_NONE : KAFKA_TIMESTAMP_CREATE;
	message.key = kafka_access_bytes(i, 5, &message.keylen);
	message.value = kafka_access_bytes(i, 6, &message.valuelen);
	datum = kafka_access_column(i, 7, &isnull);
	if (!isnull)
		nheaders = KafkaHeaderFromArray(PointerGetDatum(PG_DETOAST_DATUM_COPY(datum)), &headers);
	KafkaIngestBatchAdd(batch, &message, headers, nheaders);
}

List *
kafka_subscription_letters(const KafkaSubscription *subscription, int64 after, int limit,
						   KafkaIngestBatch *batch)
{
	KafkaAccess access = kafka_access_begin();
	Oid			types[] = {TEXTOID, INT8OID, INT4OID, OIDOID};
	Datum		values[] = {CStringGetTextDatum(subscription->name), Int64GetDatum(after),
	Int32GetDatum(limit), ObjectIdGetDatum(subscription->owner)};
	List	   *result = NIL;

	kafka_access_execute(psprintf("SELECT id, partition::int8, \"offset\", \"timestamp\", key, value, headers "
								  "FROM %s.kafka_dead_letters WHERE subscription = $1 AND id > $2 "
								  "AND role = $4 ORDER BY id LIMIT $3", access.schema),
						 lengthof(types), types, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old;
		int64	   *letter;

		add_letter(i, batch);
		old = MemoryContextSwitchTo(access.cxt);
		letter = palloc(sizeof(int64));
		*letter = kafka_access_int(i, 1);
		result = lappend(result, letter);
		MemoryContextSwitchTo(old);
	}
	kafka_access_end(&access);
	return result;
}

void
kafka_subscription_unbury(int64 letter)
{
	KafkaAccess access = kafka_access_begin();
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(letter)};

	kafka_access_execute(psprintf("DELETE FROM %s.kafka_dead_letters WHERE id = $1", access.schema),
						 1, types, values, NULL, SPI_OK_DELETE);
	kafka_access_end(&access);
}

void
kafka_subscription_note_letter(int64 letter, const char *error)
{
	KafkaAccess access = kafka_access_begin();
	Oid			types[] = {INT8OID, TEXTOID};
	Datum		values[] = {Int64GetDatum(letter), CStringGetTextDatum(error)};

	kafka_access_execute(psprintf("UPDATE %s.kafka_dead_letters SET error = $2, failed_at = now() "
								  "WHERE id = $1", access.schema), 2, types, values, NULL, SPI_OK_UPDATE);
	kafka_access_end(&access);
}
