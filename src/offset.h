/*
 * offset.h
 *		Where in a partition: the values of start_offset and end_offset.
 */
#ifndef KAFKA_OFFSET_H
#define KAFKA_OFFSET_H

typedef enum KafkaOffsetKind
{
	KAFKA_OFFSET_EARLIEST,		/* the first message there is */
	KAFKA_OFFSET_NEWEST,		/* the end as the scan starts (start only) */
	KAFKA_OFFSET_SNAPSHOT,		/* the end as the scan starts (end only) */
	KAFKA_OFFSET_AT,			/* value: an offset */
	KAFKA_OFFSET_LAST,			/* value: so many visible messages before the end (start only) */
	KAFKA_OFFSET_TIME,			/* value: milliseconds since 1970 */
	KAFKA_OFFSET_AGE			/* value: milliseconds before the scan starts */
} KafkaOffsetKind;

typedef struct KafkaOffset
{
	KafkaOffsetKind kind;
	int64		value;
} KafkaOffset;

/* One value for all partitions, and others for some of them. */
typedef struct KafkaOffsetSpec
{
	KafkaOffset all;			/* for every partition not named below */
	int			npartitions;
	struct
	{
		int32		partition;
		KafkaOffset offset;
	}		   *partitions;		/* ascending, no partition twice */
} KafkaOffsetSpec;

typedef enum KafkaOffsetUse
{
	KAFKA_START_OFFSET,
	KAFKA_END_OFFSET
} KafkaOffsetUse;

/*
 * Parse an option's value or a function's argument; raises HV024 (invalid attribute value) that
 * names the option and lists what is accepted. Partitions that a JSON object does not name get the
 * default: earliest, snapshot.
 */
extern KafkaOffsetSpec *KafkaOffsetParse(const char *text, KafkaOffsetUse use);

/* The value that holds for one partition. */
extern KafkaOffset KafkaOffsetFor(const KafkaOffsetSpec *spec, int32 partition);

/* As a word, a number or a time, for EXPLAIN. */
extern char *KafkaOffsetToString(KafkaOffset offset);

#endif							/* KAFKA_OFFSET_H */
