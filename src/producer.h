/*
 * producer.h
 *		Messages in, acknowledgements out.
 *
 * A backend keeps one idempotent producer for a server, user mapping and set of properties. A
 * batch is what a statement sends to one topic: every message of it is acknowledged by all in-sync
 * replicas when KafkaBatchFinish returns, or there was an ERROR that says whether messages are *not
 * stored* or *may be stored*. No message of a broken-off batch is sent later.
 *
 * Batches that hang on the same memory context (the partitions that one INSERT reaches) end
 * together, and share a producer; a wait for one waits for all, and messages are numbered through.
 */
#ifndef KAFKA_PRODUCER_H
#define KAFKA_PRODUCER_H

#include "message.h"
#include "option.h"

#define KAFKA_UNKNOWN_OFFSET (-1)

typedef struct KafkaBatch KafkaBatch;

typedef struct KafkaDelivery
{
	int32		partition;
	int64		offset;			/* KAFKA_UNKNOWN_OFFSET: stored, but the broker did not say where */
	int64		timestamp;		/* ms since 1970: the one stored */
} KafkaDelivery;

/*
 * Begin to send to a topic. The batch hangs on the current memory context: if that is reset first,
 * what is not yet acknowledged is purged. The server must live as long. Errors: 42P01 for an
 * unknown topic, 42501, 08xxx, 28000.
 */
extern KafkaBatch *KafkaBatchBegin(const KafkaServer *server, const char *topic);

/*
 * Hand one message over; it is copied. Waits while the bound on unacknowledged bytes is reached. A
 * failure of an earlier message may be raised here: it is named by its number, from 1. A partition
 * that the topic does not have is 22003, a message too large 54000, a timestamp that cannot be sent
 * 22008.
 */
extern void KafkaBatchAdd(KafkaBatch *batch, const KafkaOutgoing *message);

/* Wait until all messages added are acknowledged; where the last one went. */
extern KafkaDelivery KafkaBatchWait(KafkaBatch *batch);

/* The same, and give the producer back. */
extern void KafkaBatchFinish(KafkaBatch *batch);

/*
 * An error context callback (arg: the batch) for what is done between Begin and Finish: where an
 * error breaks the batch off, it purges what is under way, and says in the CONTEXT what became of
 * the messages.
 */
extern void KafkaBatchErrorContext(void *arg);

#endif							/* KAFKA_PRODUCER_H */
