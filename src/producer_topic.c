/*
 * producer_topic.c
 *		What a producer knows of topics: the lookup before the first message, and which topics need
 *		none.
 *
 * A producer asks for a topic's metadata with its own setting allow.auto.create.topics, which is
 * false unless the server allows it. So neither the lookup nor what librdkafka asks on its own
 * later (a leader that moved, a topic that was deleted) creates a topic.
 */
#include "postgres.h"

#include <stdlib.h>

#include "utils/timestamp.h"

#include "producer_private.h"

#define MAX_TOPIC_NAME 249		/* Kafka's own limit */
#define MAX_KNOWN_TOPICS 64

/* A lookup, as the thread sees it: libc's memory only. */
typedef struct TopicLookup
{
	char		topic[MAX_TOPIC_NAME + 1];
	KafkaDeadline deadline;
	int32		partition;
	bool		create;			/* the topic may come into being */
	ProducerTopic result;
} TopicLookup;

/*
 * A topic that a handle knows. Handles come and go unseen here, so an entry names its handle by
 * address and birth, and the one used least recently makes room for the next.
 */
typedef struct KnownTopic
{
	const KafkaHandle *handle;
	TimestampTz made_at;
	uint64		used;			/* 0: free */
	char		topic[MAX_TOPIC_NAME + 1];
} KnownTopic;

static KnownTopic known_topics[MAX_KNOWN_TOPICS];
static uint64 clock_of_use = 0;

static KnownTopic *
find_known(const KafkaHandle *handle, const char *topic)
{
	for (int i = 0; i < MAX_KNOWN_TOPICS; i++)
	{
		KnownTopic *known = &known_topics[i];

		if (known->used > 0 && known->handle == handle && known->made_at == handle->made_at &&
			strcmp(known->topic, topic) == 0)
			return known;
	}
	return NULL;
}

bool
kafka_producer_knows(const KafkaHandle *handle, const char *topic)
{
	KnownTopic *known = find_known(handle, topic);

	if (known)
		known->used = ++clock_of_use;
	return known != NULL;
}

void
kafka_producer_remember(const KafkaHandle *handle, const char *topic)
{
	KnownTopic *known = find_known(handle, topic);

	if (known == NULL)
	{
		known = &known_topics[0];
		for (int i = 1; i < MAX_KNOWN_TOPICS; i++)
		{
			if (known_topics[i].used < known->used)
				known = &known_topics[i];
		}
		known->handle = handle;
		known->made_at = handle->made_at;
		strlcpy(known->topic, topic, sizeof(known->topic));
	}
	known->used = ++clock_of_use;
}

void
kafka_producer_forget(const KafkaHandle *handle, const char *topic)
{
	KnownTopic *known = find_known(handle, topic);

	if (known)
		known->used = 0;
}

/* Errors that pass: no broker yet, a topic that is being made. */
static bool
is_passing(const TopicLookup *lookup)
{
	switch (lookup->result.err)
	{
		case RD_KAFKA_RESP_ERR__TRANSPORT:
		case RD_KAFKA_RESP_ERR__TIMED_OUT:
		case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
			return true;
		case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
			return lookup->create;
		default:
			return false;
	}
}

static void
read_metadata(const rd_kafka_metadata_t *metadata, int32 partition, ProducerTopic *result)
{
	const rd_kafka_metadata_topic_t *topic = metadata->topics;

	if (metadata->topic_cnt != 1)
	{
		result->err = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
		return;
	}
	result->err = topic->err;
	if (topic->err == RD_KAFKA_RESP_ERR_NO_ERROR && topic->partition_cnt == 0)
		result->err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
	result->npartitions = topic->partition_cnt;
	for (int i = 0; i < topic->partition_cnt; i++)
	{
		if (topic->partitions[i].id == partition)
		{
			result->nreplicas = topic->partitions[i].replica_cnt;
			result->nsync = topic->partitions[i].isr_cnt;
		}
	}
}

/* Runs in a thread. The handle keeps the topic's object for as long as it lives. */
static void
lookup_topic(rd_kafka_t *rk, void *arg)
{
	TopicLookup *lookup = (TopicLookup *) arg;
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, lookup->topic, NULL);

	if (rkt == NULL)
	{
		lookup->result.err = rd_kafka_last_error();
		return;
	}
	for (;;)
	{
		const rd_kafka_metadata_t *metadata;

		lookup->result.err = rd_kafka_metadata(rk, 0, rkt, &metadata,
											   KafkaConnectionSlice(&lookup->deadline));
		if (lookup->result.err == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			read_metadata(metadata, lookup->partition, &lookup->result);
			rd_kafka_metadata_destroy(metadata);
		}
		if (!is_passing(lookup) || !KafkaConnectionRetry(&lookup->deadline))
			break;
	}
	rd_kafka_topic_destroy(rkt);
}

ProducerTopic
kafka_producer_lookup(KafkaHandle *handle, const KafkaServer *server, const char *topic,
					  int32 partition)
{
	TopicLookup *lookup = calloc(1, sizeof(TopicLookup));
	ProducerTopic result;

	if (lookup == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	strlcpy(lookup->topic, topic, sizeof(lookup->topic));
	lookup->deadline = KafkaConnectionDeadline(server->metadata_timeout);
	lookup->partition = partition;
	lookup->create = server->auto_create_topics;
	KafkaConnectionCall(handle, lookup_topic, lookup, free);
	result = lookup->result;
	free(lookup);
	return result;
}

char *
kafka_no_such_partition(const ProducerTopic *topic, int32 partition)
{
	return psprintf("There is no partition %d: the topic has partitions 0 to %d", partition,
					topic->npartitions - 1);
}
