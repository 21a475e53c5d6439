/*
 * consumer_private.h
 *		What consumer.c and consumer_lookup.c share with nobody else.
 */
#ifndef KAFKA_CONSUMER_PRIVATE_H
#define KAFKA_CONSUMER_PRIVATE_H

#include "connection.h"
#include "consumer.h"

/* A partition that is being read. */
typedef struct ConsumerPartition
{
	int32		partition;
	int			range;			/* in KafkaConsumer.ranges: the one being read */
	int			last_range;		/* the last one of this partition */
	int64		next;			/* the offset after the last one seen */
	int32		broker;			/* that its messages come from; -1: not known yet */
	int64		tail_from;		/* from this offset on messages are waited for */
	bool		active;			/* librdkafka is fetching it */
	bool		tailing;		/* has come to tail_from */
	bool		done;
} ConsumerPartition;

struct KafkaConsumer
{
	MemoryContext cxt;			/* where everything here lives */
	MemoryContextCallback callback;
	KafkaServer server;			/* a copy, with this scan's isolation level */
	char	   *topic;
	KafkaHandle *handle;		/* NULL once given back */
	bool		closed;

	KafkaRange *ranges;
	ConsumerPartition *parts;	/* ascending by partition */
	int			nparts;
	int			nstarted;		/* parts before this one have been started */
	int			nactive;
	int			ndone;
	int			ntailing;
	int			max_partition;
	int		   *part_of;		/* partition number to its place in parts, or -1 */

	int			nap;			/* ms to wait before librdkafka is woken; 0: the first time */
	KafkaTail	tail;
	KafkaFeed	feed;			/* its functions are NULL where ranges are known from the start */
	TimestampTz stall_since;	/* when the present wait for the rest began; 0: none */
	TimestampTz tail_since;		/* when the snapshot's end was reached; 0: not yet */
	TimestampTz wait_since;		/* when the present wait at the end began; 0: not waiting */

	rd_kafka_message_t **batch; /* what was taken from the queue */
	int			nbatch;
	int			ibatch;
	rd_kafka_message_t *current;	/* what the caller holds */
	int64		received;		/* since Start */
	int64		kicked;			/* of them, when librdkafka was last woken */
	int64		warned;			/* lost offsets that were warned of */
	KafkaCounters counters;
};

/* The topic's object of a handle, made where it is not the one used last. */
extern rd_kafka_topic_t *kafka_handle_topic(KafkaHandle *handle, const char *topic);

/* The first offset that a partition holds now. */
extern int64 kafka_consumer_low(KafkaConsumer *consumer, int32 partition);

#endif							/* KAFKA_CONSUMER_PRIVATE_H */
