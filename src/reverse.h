/*
 * reverse.h
 *		Messages of one partition from the last to the first, read in blocks.
 */
#ifndef KAFKA_REVERSE_H
#define KAFKA_REVERSE_H

#include "consumer.h"

typedef struct KafkaReverse KafkaReverse;

/*
 * Read the ranges, all of one partition, normalized and each with an end, backwards. Blocks begin
 * small and grow, so that a LIMIT reads only the tail, and are bounded in bytes. Allocated in the
 * current context.
 */
extern KafkaReverse *KafkaReverseOpen(KafkaConsumer *consumer, const KafkaRange *ranges,
									  int nranges);

/* The next message towards the start, with its headers, or false. Valid until the next call. */
extern bool KafkaReverseNext(KafkaReverse *reverse, KafkaMessage *message);
extern int	KafkaReverseHeaders(KafkaReverse *reverse, KafkaHeader **headers);

/* Free its memory before the context it was opened in does; the consumer stays as it is. */
extern void KafkaReverseClose(KafkaReverse *reverse);

#endif							/* KAFKA_REVERSE_H */
