/*
 * consumer_private.h
 *		What consumer.c and consumer_lookup.c share with nobody else.
 */
#ifndef KAFKA_CONSUMER_PRIVATE_H
#define KAFKA_CONSUMER_PRIVATE_H

#include "connection.h"
#include "consumer.h"

#define KAFKA_NO_BROKER (-1)
#define KAFKA_BATCH_SIZE 1000	/* entries taken from the queue at once */

/* A partition that is being read. */
typedef struct ConsumerPartition
{
	int32		partition;
	int			range;			/* in KafkaConsumer.ranges: the one being read */
	int			last_range;		/* the last one of this partition */
	int64		next;			/* the offset after the last one seen */
	int64		from;			/* where fetching began last */
	int			contradictions; /* how often that was refused for no reason */
	int64		event_next;		/* the offset after that of the last event; 0: none so far */
	int32		broker;			/* that its messages come from; KAFKA_NO_BROKER: none has come */
	int64		seen_next;		/* "next" when somebody last looked ... */
	TimestampTz heard;			/* ... and since when it is the same; 0: not looked at yet */
	int64		tail_from;		/* from this offset on messages are waited for */
	bool		covered;		/* has all that was presumed */
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
	KafkaHandle *handle;		/* NULL while it is given back */
	KafkaHandle *tail_handle;	/* for the tail that is to come; else NULL */
	KafkaHandleKind tail_kind;	/* what a tail is read with */
	bool		closed;
	bool		presumed;		/* the ranges have not been compared with what the topic holds ... */
	bool		doubtful;		/* ... and that has to be done */

	KafkaRange *ranges;
	ConsumerPartition *parts;	/* ascending by partition */
	int			nparts;
	int			nstarted;		/* parts before this one have been started */
	int			nactive;
	int			ndone;
	int			ntailing;
	int			ncovered;
	int			max_partition;
	int		   *part_of;		/* partition number to its place in parts, or -1 */

	int			nap;			/* ms to wait before librdkafka is woken; 0: the first time */
	KafkaTail	tail;
	KafkaFeed	feed;			/* its functions are NULL where ranges are known from the start */
	TimestampTz stall_since;	/* when the present wait for the rest began; 0: none */
	TimestampTz tail_since;		/* when the snapshot's end was reached; 0: not yet */
	TimestampTz wait_since;		/* when the present wait at the end began; 0: not waiting */
	TimestampTz wait_until;		/* when the caller wants to be told whatever is missing; 0: never */

	rd_kafka_message_t **batch; /* what was taken from the queue */
	int			nbatch;
	int			ibatch;
	rd_kafka_message_t *current;	/* what the caller holds */
	int64		received;		/* since Start */
	int64		jumped;			/* of them, when a range was jumped to last */
	int64		kick_at;		/* of them, when librdkafka is to be woken ... */
	int64		kick_bytes;		/* ... or of counters.bytes, if that is sooner */
	bool		unkicked;		/* something was taken from the queue since it was */
	TimestampTz looked;			/* when somebody last looked around for silent partitions */
	KafkaWitness *witness;		/* by which the log is known again: own_witness, or the
								 * statement's */
	KafkaWitness own_witness;
	int64		vouched;		/* messages received when it was last looked for */
	int64		warned;			/* lost offsets that were warned of */
	KafkaCounters counters;
};

/* What cannot be read from a partition, as an ERROR. */
pg_noreturn extern void kafka_consumer_partition_error(KafkaConsumer *consumer,
													   ConsumerPartition *part,
													   rd_kafka_resp_err_t err,
													   const char *errstr);

/*
 * Wake librdkafka's threads: they may be asleep with a queue that was full. "all": name every
 * partition, not one for each broker.
 */
extern void kafka_consumer_kick(KafkaConsumer *consumer, bool all);

/* A batch has been taken from the queue: decide when to wake librdkafka next. */
extern void kafka_consumer_plan_kick(KafkaConsumer *consumer);

/* ERROR where a partition whose messages must be there cannot be reached while others deliver. */
extern void kafka_consumer_look_around(KafkaConsumer *consumer);

/* Wait for messages that there must be; false when the caller's time is up. */
extern bool kafka_consumer_wait_for_rest(KafkaConsumer *consumer);

/*
 * Take entries until every partition has come to the end of what was presumed of it, before any of
 * them is delivered: so all of it was there as the scan began.
 */
extern void kafka_consumer_compare_presumed(KafkaConsumer *consumer);

/* Wait at the end for the next message; false when that has taken long enough. */
extern bool kafka_consumer_wait_at_end(KafkaConsumer *consumer);

/* True where a tail has taken all the time it may past the snapshot's end. */
extern bool kafka_consumer_waited_enough(KafkaConsumer *consumer);

/* The topic's object of a handle, made where it is not the one used last. */
extern rd_kafka_topic_t *kafka_handle_topic(KafkaHandle *handle, const char *topic);

/*
 * Ask the leaders of these partitions for something, within metadata_timeout; false, with one of the
 * partitions that were asked for in vain, where one of them does not answer.
 */
extern bool kafka_consumer_probe(KafkaConsumer *consumer, const int32 *partitions, int npartitions,
								 int32 *failed);

/*
 * See to it that the log is still the one that the scan began on, an ERROR where it is not: before a
 * batch just taken from the queue is delivered; while a tail waits; and before a silence is called one.
 * The first two do so from time to time only.
 */
extern void kafka_consumer_check_batch(KafkaConsumer *consumer);
extern void kafka_consumer_check_tail(KafkaConsumer *consumer);
extern void kafka_consumer_check_silence(KafkaConsumer *consumer);

/* Where a partition begins and ends now, as far as that can be found out in so many ms. No ERROR. */
typedef enum KafkaBounds
{
	KAFKA_BOUNDS_FOUND,
	KAFKA_BOUNDS_NO_TOPIC,
	KAFKA_BOUNDS_NO_PARTITION,
	KAFKA_BOUNDS_UNKNOWN
} KafkaBounds;

extern KafkaBounds kafka_consumer_bounds(KafkaConsumer *consumer, int32 partition, int timeout,
										 KafkaPartition *found);

/* The first offset that a partition holds now. */
extern int64 kafka_consumer_low(KafkaConsumer *consumer, int32 partition);

#endif							/* KAFKA_CONSUMER_PRIVATE_H */
