/*
 * producer_private.h
 *		What producer.c and producer_topic.c share with nobody else.
 */
#ifndef KAFKA_PRODUCER_PRIVATE_H
#define KAFKA_PRODUCER_PRIVATE_H

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

#endif							/* KAFKA_PRODUCER_PRIVATE_H */
