/*
 * ingest_mark.h
 *		The last message that was taken from a partition, by which its log is known again.
 */
#ifndef KAFKA_INGEST_MARK_H
#define KAFKA_INGEST_MARK_H

#include "consumer.h"
#include "ingest_batch.h"

#define KAFKA_NO_MARK (-1)

/* What is stored of a message. */
typedef struct KafkaMark
{
	int64		offset;			/* KAFKA_NO_MARK: none has been taken, or that was forgotten */
	int64		timestamp;		/* ms since 1970, or KAFKA_NO_TIMESTAMP */
	uint64		hash;
} KafkaMark;

/* A mark to be looked for. */
typedef struct KafkaMarkCheck
{
	int32		partition;
	KafkaMark	mark;			/* there is one */
	int64		low;			/* the partition's first offset */
	bool	   *gone;			/* in: it was not found before; out: it is not */
} KafkaMarkCheck;

/*
 * The last messages that a batch shows of partitions, ascending: marks[i] is that of partitions[i],
 * without an offset where there is none.
 */
extern void KafkaIngestMarks(const KafkaIngestBatch *batch, const int32 *partitions,
							 KafkaMark *marks, int npartitions);

/*
 * Read the messages of these marks, ascending by partition and before the ends of their partitions, by a
 * consumer that reads nothing now. ERROR 55000 where another one is in a mark's place; WARNING where none is, and
 * that is new.
 */
extern void KafkaIngestCheckMarks(KafkaConsumer *consumer, const char *topic,
								  KafkaMarkCheck *checks, int nchecks);

#endif							/* KAFKA_INGEST_MARK_H */
