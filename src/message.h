/*
 * message.h
 *		A Kafka message as the rest of the extension sees it, free of librdkafka's types.
 */
#ifndef KAFKA_MESSAGE_H
#define KAFKA_MESSAGE_H

#define KAFKA_NO_TIMESTAMP (-1)
#define KAFKA_ANY_PARTITION (-1)

typedef enum KafkaTimestampType
{
	KAFKA_TIMESTAMP_NONE,
	KAFKA_TIMESTAMP_CREATE,		/* the producer's clock */
	KAFKA_TIMESTAMP_APPEND		/* the broker's */
} KafkaTimestampType;

typedef struct KafkaHeader
{
	const char *name;			/* zero-terminated, as Kafka's clients write it: UTF-8 */
	const char *value;			/* NULL: a null value, other than an empty one */
	Size		len;
} KafkaHeader;

/* A message read. What it points to is valid until the consumer's next call. */
typedef struct KafkaMessage
{
	int32		partition;
	KafkaTimestampType timestamp_type;
	int64		offset;
	int64		timestamp;		/* ms since 1970, or KAFKA_NO_TIMESTAMP */
	const char *key;			/* NULL: no key, other than an empty one */
	const char *value;			/* NULL: a tombstone */
	Size		keylen;
	Size		valuelen;
	void	   *origin;			/* the consumer's own: see KafkaConsumerHeaders */
} KafkaMessage;

/* What a message does to the row of its key. */
typedef enum KafkaChange
{
	KAFKA_CHANGE_UPSERT,		/* it is the row from now on */
	KAFKA_CHANGE_DELETE,		/* a tombstone, or a change event of a delete */
	KAFKA_CHANGE_TRUNCATE,		/* all rows go */
	KAFKA_CHANGE_NONE			/* it is about no row */
} KafkaChange;

/* A message to be sent. It is copied before the call that takes it returns. */
typedef struct KafkaOutgoing
{
	int32		partition;		/* KAFKA_ANY_PARTITION: the partitioner chooses */
	int			nheaders;
	int64		timestamp;		/* ms since 1970; KAFKA_NO_TIMESTAMP: now */
	const char *key;			/* NULL: no key */
	const char *value;			/* NULL: a tombstone */
	Size		keylen;
	Size		valuelen;
	KafkaHeader *headers;
} KafkaOutgoing;

/* Kafka counts milliseconds from 1970, PostgreSQL microseconds from 2000. */
#define KAFKA_EPOCH_DIFFERENCE_US INT64CONST(946684800000000)

static inline int64
kafka_ms_to_timestamptz(int64 ms)
{
	return (ms - KAFKA_EPOCH_DIFFERENCE_US / 1000) * 1000;
}

/* Towards zero of 1970. */
static inline int64
kafka_timestamptz_to_ms(int64 timestamp)
{
	return (timestamp + KAFKA_EPOCH_DIFFERENCE_US) / 1000;
}

/* Copy bytes to where *to points, and move that on; NULL stays NULL. */
static inline const char *
kafka_copy_bytes(char **to, const char *from, Size len)
{
	char	   *start = *to;

	if (from == NULL)
		return NULL;
	memcpy(start, from, len);
	*to += len;
	return start;
}

#endif							/* KAFKA_MESSAGE_H */
