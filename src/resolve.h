/*
 * resolve.h
 *		From what was asked for (start_offset, end_offset, a condition) to the ranges of offsets to
 *		read, given what the topic holds.
 */
#ifndef KAFKA_RESOLVE_H
#define KAFKA_RESOLVE_H

#include "consumer.h"
#include "offset.h"
#include "range.h"

typedef struct KafkaRequest
{
	const char *topic;			/* for messages; may be NULL */
	const KafkaOffsetSpec *start;
	const KafkaOffsetSpec *end;
	bool		tail;			/* no end but one that was given */
	bool		end_given;
	bool		timestamp_ordered;	/* upper bounds on the timestamp may be used ... */
	int64		max_timestamp_skew; /* ... with this slack in ms; -1: only where they are ordered */
	List	   *boxes;			/* of KafkaBox *: the condition */
	int64		now;			/* ms since 1970: what ages are counted from */
	int64		max_messages;	/* the caller reads no more than these; 0: all */
} KafkaRequest;

/*
 * The ranges to read, normalized, allocated in the current context; their number in *nranges. Asks
 * the broker only for what needs it: times, and the last N visible messages (which it finds by
 * reading backwards from the end, with the consumer given, which must not be reading). Raises
 * 54000 where kafka_fdw.max_scan_messages forbids what would be read.
 */
extern KafkaRange *KafkaResolve(KafkaConsumer *consumer, const KafkaSnapshot *snapshot,
								const KafkaRequest *request, int *nranges);

/*
 * The ranges that a condition names by itself, where these are few messages in few partitions that
 * the consumer knows: they can be read without a look at what the topic holds, for
 * KafkaConsumerStartPresumed. NULL where the topic has to be looked at.
 */
extern KafkaRange *KafkaPresume(const KafkaConsumer *consumer, const KafkaRequest *request,
								int *nranges);

#endif							/* KAFKA_RESOLVE_H */
