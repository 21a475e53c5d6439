/*
 * producer_private.h
 *		What producer.c, producer_failure.c and producer_topic.c share with nobody else.
 */
#ifndef KAFKA_PRODUCER_PRIVATE_H
#define KAFKA_PRODUCER_PRIVATE_H

#include "lib/ilist.h"

#include "compat.h"
#include "connection.h"
#include "producer.h"

/* What a producer was told of a topic. */
typedef struct ProducerTopic
{
	rd_kafka_resp_err_t err;
	int			npartitions;
	int			nreplicas;		/* of the partition asked about */
	int			nsync;			/* of these, in sync */
} ProducerTopic;

/* The first message that failed. */
typedef struct Failure
{
	rd_kafka_resp_err_t err;
	bool		unsure;			/* it may be stored */
	int32		partition;		/* -1: none was chosen yet */
	int64		row;
	char		topic[256];
	char		errstr[256];
} Failure;

/* What the batches of one memory context share. */
typedef struct Sender
{
	dlist_node	node;			/* in senders */
	MemoryContext context;
	MemoryContextCallback callback;
	KafkaServer server;			/* with our own properties added */
	KafkaHandle *handle;		/* NULL once given back */
	dlist_head	batches;		/* those that are not finished */
	uintptr_t	serial;
	int64		nadded;
	int64		nstored;
	int64		nunstored;
	int64		nunsure;		/* reported as perhaps stored */
	int64		pending;		/* not yet reported */
	Size		pending_bytes;
	Size		header_bytes;	/* since nothing was pending: reports do not say how many */
	int			unserved;		/* messages since the reports were last looked at */
	bool		purged;
	Failure		failure;		/* err 0: none */
	int64		last_row;
	KafkaDelivery last;			/* of the message added last, once it is stored */
} Sender;

struct KafkaBatch
{
	dlist_node	node;			/* in its sender's batches */
	Sender	   *sender;
	char	   *topic;
	rd_kafka_topic_t *rkt;		/* NULL once finished */
};

/* producer_message.c */

/*
 * Give a message to librdkafka, which copies it. "number" comes back in the delivery report. NULL
 * value and key are told from empty ones; a timestamp of 0 would mean now.
 */
extern rd_kafka_resp_err_t kafka_produce_message(rd_kafka_t *rk, rd_kafka_topic_t *rkt,
												 const KafkaOutgoing *message, void *number);

/* The bytes that a message's headers take, which no report repeats. */
extern Size kafka_message_header_bytes(const KafkaOutgoing *message);

/*
 * Break a sender off: drop what is not sent, let what is under way be answered if that happens
 * soon, so that its outcome is known, and then stop waiting for it. The handle is not used again.
 * Does not throw, and takes tens of milliseconds at most.
 */
extern void kafka_sender_break_off(Sender *sender);

/*
 * Raise what stopped a message. "row" is its number, "partition" -1 where it is not to be named,
 * "cause" a sentence without its full stop.
 */
pg_noreturn extern void kafka_sender_raise(Sender *sender, int code, bool unsure, int64 row,
										   const char *topic, int32 partition, const char *cause,
										   const char *hint);

/* Raise the failure that a delivery report told of. */
pg_noreturn extern void kafka_sender_raise_report(Sender *sender);

/* KafkaBatchErrorContext for an error that comes while the batch waits. */
extern void kafka_batch_wait_context(void *arg);

/*
 * kafka_producer_lookup for a batch's topic, within so many ms at most; an error that breaks the
 * wait off gets the outcome as CONTEXT.
 */
extern ProducerTopic kafka_batch_lookup(KafkaBatch *batch, int32 partition, int timeout);

/*
 * A producer that has failed for good says no more than that to whoever calls it: put the error by which it
 * failed in place of RD_KAFKA_RESP_ERR__FATAL, and its text in errstr. Other errors stay; true for this one.
 */
extern bool kafka_producer_first_error(KafkaHandle *handle, rd_kafka_resp_err_t *err, char *errstr,
									   Size size);

/* The hint for what stops a message, where a sender can say more than others. */
extern const char *kafka_sender_hint(rd_kafka_resp_err_t err);

/*
 * Have the producer know a topic before the first message to it: librdkafka would otherwise look it
 * up a second later. Tries again, for the server's metadata_timeout, where an error passes.
 * "partition" is the one whose replicas are counted.
 */
extern ProducerTopic kafka_producer_lookup(KafkaHandle *handle, const KafkaServer *server,
										   const char *topic, int32 partition);

/* Which topics a handle was made to know; the memory is short, and forgetting costs a lookup. */
extern bool kafka_producer_knows(const KafkaHandle *handle, const char *topic);
extern void kafka_producer_remember(const KafkaHandle *handle, const char *topic);
extern void kafka_producer_forget(const KafkaHandle *handle, const char *topic);

/* "There is no partition ...", as a cause. */
extern char *kafka_no_such_partition(const ProducerTopic *topic, int32 partition);

#endif							/* KAFKA_PRODUCER_PRIVATE_H */
