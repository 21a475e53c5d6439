/*
 * consumer_lookup.c
 *		What the cluster says of its topics: partitions, first and last offsets, offsets by time,
 *		names.
 *
 * librdkafka has these calls in a blocking form only. Each lookup is one function that a thread
 * runs (KafkaConnectionCall), which may use nothing but librdkafka and libc; its arguments and
 * results live in one malloc'd struct that either side can free.
 */
#include "postgres.h"

#include <stdlib.h>

#include "utils/memutils.h"

#include "consumer_private.h"

#define LATEST (-1)				/* the times that ListOffsets takes for the ends of a partition */
#define EARLIEST (-2)
#define NAME_MS 500				/* how long to look for the partition of an error */

/* One lookup: what is asked, and what came back. */
typedef struct Lookup
{
	rd_kafka_topic_t *rkt;		/* of the handle, which outlives the call */
	int			timeout;		/* ms in all */
	KafkaDeadline deadline;
	rd_kafka_resp_err_t err;
	int32		partition;		/* that err is about; -1: the topic */
	int			npartitions;
	int			only;			/* the one partition that is wanted; -1: all are */
	KafkaPartition *partitions;
	int			nlookups;
	KafkaTimeLookup *lookups;
	bool		probe;			/* name the partition of an error of the connection, too */
	const rd_kafka_metadata_t *metadata;	/* list_topics: what came back */
} Lookup;

static Lookup *
make_lookup(const KafkaServer *server)
{
	Lookup	   *lookup = calloc(1, sizeof(Lookup));

	if (lookup == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	lookup->timeout = server->metadata_timeout;
	lookup->deadline = KafkaConnectionDeadline(lookup->timeout);
	lookup->partition = -1;
	lookup->only = -1;
	return lookup;
}

static void
free_lookup(void *arg)
{
	Lookup	   *lookup = (Lookup *) arg;

	if (lookup->metadata)
		rd_kafka_metadata_destroy(lookup->metadata);
	free(lookup->partitions);
	free(lookup->lookups);
	free(lookup);
}

/*
 * Partitions are asked for that metadata have just named: where librdkafka does not know one, its
 * cache is behind.
 */
static bool
retry(const Lookup *lookup)
{
	return (KafkaConnectionErrorPasses(lookup->err) ||
			lookup->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) &&
		KafkaConnectionRetry(&lookup->deadline);
}

static int
compare_partitions(const void *a, const void *b)
{
	int32		pa = ((const KafkaPartition *) a)->partition;
	int32		pb = ((const KafkaPartition *) b)->partition;

	return (pa > pb) - (pa < pb);
}

/* The topic's partitions; false with lookup->err set where there are none to be had. */
static bool
find_partitions(rd_kafka_t *rk, Lookup *lookup)
{
	for (;;)
	{
		const rd_kafka_metadata_t *metadata;

		lookup->err = rd_kafka_metadata(rk, 0, lookup->rkt, &metadata, KafkaConnectionSlice(&lookup->deadline));
		if (lookup->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			const rd_kafka_metadata_topic_t *topic = &metadata->topics[0];

			lookup->err = metadata->topic_cnt == 1 ? topic->err
				: RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
			if (lookup->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			{
				free(lookup->partitions);
				lookup->npartitions = topic->partition_cnt;
				lookup->partitions = calloc(topic->partition_cnt + 1, sizeof(KafkaPartition));
				if (lookup->partitions == NULL)
					lookup->npartitions = 0;
				for (int i = 0; i < lookup->npartitions; i++)
					lookup->partitions[i].partition = topic->partitions[i].id;
				qsort(lookup->partitions, lookup->npartitions, sizeof(KafkaPartition),
					  compare_partitions);
			}
			rd_kafka_metadata_destroy(metadata);
		}
		if (lookup->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			return true;
		if (!retry(lookup))
			return false;
	}
}

/*
 * Find out which partition an error of the broker's is about: librdkafka only says that there is one
 * among those asked for. So each is asked for alone, as long as that is quick. In the thread.
 */
static void
name_partition(rd_kafka_t *rk, Lookup *lookup, const rd_kafka_topic_partition_list_t *list)
{
	KafkaDeadline deadline = KafkaConnectionDeadline(NAME_MS);
	bool		more = true;

	for (int i = 0; i < list->cnt && lookup->partition < 0 && more; i++)
	{
		rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
		const rd_kafka_topic_partition_t *elem = &list->elems[i];
		rd_kafka_resp_err_t err;

		rd_kafka_topic_partition_list_add(one, elem->topic, elem->partition)->offset =
			elem->offset;
		err = list->cnt == 1 ? lookup->err : rd_kafka_offsets_for_times(rk, one, NAME_MS);
		if (lookup->probe ? err != RD_KAFKA_RESP_ERR_NO_ERROR : err == lookup->err)
			lookup->partition = elem->partition;
		rd_kafka_topic_partition_list_destroy(one);
		more = KafkaConnectionSlice(&deadline) > 1;
	}
}

/*
 * ListOffsets for a list of partitions, each with its time as the offset, until all have an answer
 * or there is an error that does not pass. The list's offsets are replaced by the answers.
 */
static bool
list_offsets(rd_kafka_t *rk, Lookup *lookup, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_resp_err_t last_err = RD_KAFKA_RESP_ERR_NO_ERROR;
	int32		last_partition = -1;

	for (;;)
	{
		rd_kafka_topic_partition_list_t *ask = rd_kafka_topic_partition_list_copy(list);
		const rd_kafka_metadata_t *metadata;

		lookup->partition = -1;
		lookup->err = rd_kafka_offsets_for_times(rk, ask, KafkaConnectionSlice(&lookup->deadline));
		for (int i = 0; lookup->err == RD_KAFKA_RESP_ERR_NO_ERROR && i < ask->cnt; i++)
		{
			/* A partition without a leader is left out of the request, and says so only here. */
			lookup->err = ask->elems[i].err;
			if (lookup->err)
				lookup->partition = ask->elems[i].partition;
		}
		for (int i = 0; lookup->err == RD_KAFKA_RESP_ERR_NO_ERROR && i < ask->cnt; i++)
			list->elems[i].offset = ask->elems[i].offset;
		rd_kafka_topic_partition_list_destroy(ask);
		if (lookup->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			return true;

		/* The last attempt may have had little time; what the one before met says more. */
		if (lookup->err == RD_KAFKA_RESP_ERR__TIMED_OUT && last_err != RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			lookup->err = last_err;
			lookup->partition = last_partition;
		}
		last_err = lookup->err;
		last_partition = lookup->partition;
		if (!retry(lookup))
		{
			/* Errors below zero are librdkafka's own, about the connection as a rule. */
			if ((lookup->err > 0 || lookup->probe) && lookup->partition < 0 &&
				lookup->err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART &&
				!KafkaConnectionNeedsThread())
				name_partition(rk, lookup, list);
			return false;
		}
		/* The leaders are known from a cache: ask anew. */
		if (rd_kafka_metadata(rk, 0, lookup->rkt, &metadata, KafkaConnectionSlice(&lookup->deadline)) ==
			RD_KAFKA_RESP_ERR_NO_ERROR)
			rd_kafka_metadata_destroy(metadata);
	}
}

/* The ends of all partitions, in two requests a broker. Runs in a thread. */
static void
take_snapshot(rd_kafka_t *rk, void *arg)
{
	static const int64 times[] = {EARLIEST, LATEST};
	Lookup	   *lookup = (Lookup *) arg;

	if (!find_partitions(rk, lookup))
		return;
	for (int t = 0; t < lengthof(times) && lookup->npartitions > 0; t++)
	{
		rd_kafka_topic_partition_list_t *list =
			rd_kafka_topic_partition_list_new(lookup->npartitions);

		for (int i = 0; i < lookup->npartitions; i++)
		{
			if (lookup->only < 0 || lookup->only == lookup->partitions[i].partition)
				rd_kafka_topic_partition_list_add(list, rd_kafka_topic_name(lookup->rkt),
												  lookup->partitions[i].partition)->offset = times[t];
		}
		if (list->cnt > 0 && list_offsets(rk, lookup, list))
		{
			int			n = 0;

			for (int i = 0; i < lookup->npartitions; i++)
			{
				if (lookup->only >= 0 && lookup->only != lookup->partitions[i].partition)
					continue;
				if (times[t] == EARLIEST)
					lookup->partitions[i].low = list->elems[n++].offset;
				else
					lookup->partitions[i].end = list->elems[n++].offset;
			}
		}
		rd_kafka_topic_partition_list_destroy(list);
		if (lookup->err)
			return;
	}
	if (lookup->npartitions == 0)
		lookup->err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}

/* Offsets by time, all partitions of one time in one request. Runs in a thread. */
static void
find_times(rd_kafka_t *rk, void *arg)
{
	Lookup	   *lookup = (Lookup *) arg;
	bool	   *asked = calloc(lookup->nlookups, sizeof(bool));

	for (int first = 0; asked && first < lookup->nlookups; first++)
	{
		rd_kafka_topic_partition_list_t *list;
		int			n = 0;

		if (asked[first])
			continue;
		list = rd_kafka_topic_partition_list_new(lookup->nlookups - first);
		/* A request may name a partition once, so times that differ take requests of their own. */
		for (int i = first; i < lookup->nlookups; i++)
		{
			if (asked[i] || lookup->lookups[i].time != lookup->lookups[first].time)
				continue;
			rd_kafka_topic_partition_list_add(list, rd_kafka_topic_name(lookup->rkt),
											  lookup->lookups[i].partition)->offset =
				lookup->lookups[i].time;
		}
		if (list_offsets(rk, lookup, list))
		{
			for (int i = first; i < lookup->nlookups; i++)
			{
				if (asked[i] || lookup->lookups[i].time != lookup->lookups[first].time)
					continue;
				lookup->lookups[i].offset = list->elems[n++].offset;
				asked[i] = true;
			}
		}
		rd_kafka_topic_partition_list_destroy(list);
		if (lookup->err)
			break;
	}
	free(asked);
}

/* All topics of the cluster. Runs in a thread. */
static void
list_topics(rd_kafka_t *rk, void *arg)
{
	Lookup	   *lookup = (Lookup *) arg;

	do
	{
		lookup->err = rd_kafka_metadata(rk, 1, NULL, &lookup->metadata, KafkaConnectionSlice(&lookup->deadline));
	} while (lookup->err && retry(lookup));
}

static void
lookup_error(KafkaHandle *handle, const char *topic, const Lookup *lookup)
{
	rd_kafka_resp_err_t err = lookup->err;
	const char *hint;

	handle->stale = true;		/* librdkafka would not say why a second time */

	/* That no broker could be asked has its reason in the connection, not in the request. */
	if (err == RD_KAFKA_RESP_ERR__TRANSPORT || err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
		(err == RD_KAFKA_RESP_ERR__TIMED_OUT && handle->broker_err != RD_KAFKA_RESP_ERR_NO_ERROR))
	{
		if (handle->broker_err != RD_KAFKA_RESP_ERR_NO_ERROR)
			err = handle->broker_err;
		if (KafkaConnectionSqlState(err) == ERRCODE_CONNECTION_FAILURE)
			err = RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
		hint = KafkaConnectionHint(err);
		ereport(ERROR,
				(errcode(KafkaConnectionSqlState(err)),
				 errmsg("could not connect to Kafka server \"%s\"", handle->server_name),
				 handle->broker_errstr[0]
				 ? errdetail_internal("%s.", handle->broker_errstr)
				 : errdetail("No broker answered within %d ms.", lookup->timeout),
				 hint ? errhint("%s", hint) : 0));
	}
	hint = KafkaConnectionHint(err);
	if (topic == NULL)
		ereport(ERROR,
				(errcode(KafkaConnectionSqlState(err)),
				 errmsg("could not list the topics of Kafka server \"%s\"", handle->server_name),
				 errdetail_internal("%s.", KafkaConnectionCause(handle, err, NULL)),
				 hint ? errhint("%s", hint) : 0));
	if (lookup->partition >= 0)
		ereport(ERROR,
				(errcode(KafkaConnectionSqlState(err)),
				 errmsg("could not look up offsets of topic \"%s\" partition %d", topic,
						lookup->partition),
				 errdetail_internal("%s.", KafkaConnectionCause(handle, err, NULL)),
				 hint ? errhint("%s", hint) : 0));
	ereport(ERROR,
			(errcode(KafkaConnectionSqlState(err)),
			 errmsg("could not look up topic \"%s\" on Kafka server \"%s\"", topic,
					handle->server_name),
			 errdetail_internal("%s.", KafkaConnectionCause(handle, err, NULL)),
			 hint ? errhint("%s", hint) : 0));
}

static bool
is_unknown_topic(const Lookup *lookup)
{
	return lookup->partition < 0 &&
		(lookup->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
		 lookup->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
}

rd_kafka_topic_t *
kafka_handle_topic(KafkaHandle *handle, const char *topic)
{
	if (handle->rkt && strcmp(rd_kafka_topic_name(handle->rkt), topic) == 0)
		return handle->rkt;
	KafkaConnectionForgetTopic(handle);
	handle->rkt = rd_kafka_topic_new(handle->rk, topic, NULL);
	if (handle->rkt == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("could not open topic \"%s\"", topic),
				 errdetail_internal("%s.", rd_kafka_err2str(rd_kafka_last_error()))));
	return handle->rkt;
}

/* Run a lookup on the consumer's handle; the lookup is freed, with an ERROR, where it failed. */
static void
run_lookup(KafkaConsumer *consumer, KafkaCall fn, Lookup *lookup)
{
	Lookup		failed;

	lookup->rkt = kafka_handle_topic(consumer->handle, consumer->topic);
	KafkaConnectionCall(consumer->handle, fn, lookup, free_lookup);
	if (lookup->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	failed = *lookup;
	free_lookup(lookup);
	KafkaConnectionServe(consumer->handle);
	if (is_unknown_topic(&failed))
		KafkaConsumerUnknownTopic(&consumer->server, consumer->topic);
	lookup_error(consumer->handle, consumer->topic, &failed);
}

bool
KafkaConsumerKnows(const KafkaConsumer *consumer, int32 partition)
{
	const KafkaHandle *handle = consumer->handle;

	return handle->rkt && partition < handle->npartitions &&
		strcmp(rd_kafka_topic_name(handle->rkt), consumer->topic) == 0;
}

KafkaSnapshot *
KafkaConsumerSnapshot(KafkaConsumer *consumer)
{
	KafkaSnapshot *snapshot = palloc0(sizeof(KafkaSnapshot));
	Lookup	   *lookup = make_lookup(&consumer->server);

	run_lookup(consumer, take_snapshot, lookup);
	consumer->handle->npartitions = lookup->npartitions;
	snapshot->npartitions = lookup->npartitions;
	snapshot->partitions = palloc_extended(lookup->npartitions * sizeof(KafkaPartition),
										   MCXT_ALLOC_NO_OOM);
	if (snapshot->partitions)
		memcpy(snapshot->partitions, lookup->partitions,
			   lookup->npartitions * sizeof(KafkaPartition));
	free_lookup(lookup);
	if (snapshot->partitions == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return snapshot;
}

static void
offsets_for_times(KafkaConsumer *consumer, KafkaTimeLookup *lookups, int nlookups)
{
	Lookup	   *lookup;

	lookup = make_lookup(&consumer->server);
	lookup->lookups = malloc(nlookups * sizeof(KafkaTimeLookup));
	if (lookup->lookups == NULL)
	{
		free_lookup(lookup);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	memcpy(lookup->lookups, lookups, nlookups * sizeof(KafkaTimeLookup));
	lookup->nlookups = nlookups;
	run_lookup(consumer, find_times, lookup);
	memcpy(lookups, lookup->lookups, nlookups * sizeof(KafkaTimeLookup));
	free_lookup(lookup);
}

void
KafkaConsumerOffsetsForTimes(KafkaConsumer *consumer, KafkaTimeLookup *lookups, int nlookups)
{
	/* Negative times have meanings of their own in the protocol; no message is as old. */
	for (int i = 0; i < nlookups; i++)
		lookups[i].time = Max(lookups[i].time, 0);
	if (nlookups > 0)
		offsets_for_times(consumer, lookups, nlookups);
	for (int i = 0; i < nlookups; i++)
	{
		/* -1: no message is as young */
		if (lookups[i].offset < 0)
			lookups[i].offset = KAFKA_NO_END;
	}
}

bool
kafka_consumer_probe(KafkaConsumer *consumer, const int32 *partitions, int npartitions,
					 int32 *failed)
{
	Lookup	   *lookup = make_lookup(&consumer->server);
	bool		answered;

	lookup->lookups = calloc(npartitions, sizeof(KafkaTimeLookup));
	if (lookup->lookups == NULL)
	{
		free_lookup(lookup);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	for (int i = 0; i < npartitions; i++)
	{
		lookup->lookups[i].partition = partitions[i];
		lookup->lookups[i].time = LATEST;
	}
	lookup->nlookups = npartitions;
	lookup->rkt = kafka_handle_topic(consumer->handle, consumer->topic);
	lookup->probe = true;
	KafkaConnectionCall(consumer->handle, find_times, lookup, free_lookup);
	answered = lookup->err == RD_KAFKA_RESP_ERR_NO_ERROR;
	*failed = lookup->partition >= 0 ? lookup->partition : partitions[0];
	free_lookup(lookup);
	KafkaConnectionServe(consumer->handle);
	return answered;
}

KafkaBounds
kafka_consumer_bounds(KafkaConsumer *consumer, int32 partition, int timeout, KafkaPartition *found)
{
	KafkaServer server = consumer->server;
	KafkaBounds bounds = KAFKA_BOUNDS_NO_PARTITION;
	Lookup	   *lookup;

	server.metadata_timeout = Min(server.metadata_timeout, timeout);
	lookup = make_lookup(&server);
	lookup->rkt = kafka_handle_topic(consumer->handle, consumer->topic);
	lookup->only = partition;
	KafkaConnectionCall(consumer->handle, take_snapshot, lookup, free_lookup);
	if (is_unknown_topic(lookup))
		bounds = KAFKA_BOUNDS_NO_TOPIC;
	else if (lookup->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		bounds = KAFKA_BOUNDS_UNKNOWN;
	else
	{
		consumer->handle->npartitions = lookup->npartitions;
		for (int i = 0; i < lookup->npartitions; i++)
		{
			if (lookup->partitions[i].partition != partition)
				continue;
			*found = lookup->partitions[i];
			bounds = KAFKA_BOUNDS_FOUND;
		}
	}
	free_lookup(lookup);
	KafkaConnectionServe(consumer->handle);
	return bounds;
}

void
KafkaConsumerWarnOfLost(const char *topic, int64 lost)
{
	ereport(WARNING,
			(errmsg(INT64_FORMAT " offsets of topic \"%s\" were deleted while it was being read",
					lost, topic),
			 errhint("The topic's retention is shorter than the scan; the rows are missing from "
					 "its result.")));
}

int64
kafka_consumer_low(KafkaConsumer *consumer, int32 partition)
{
	KafkaTimeLookup lookup = {partition, EARLIEST, 0};

	offsets_for_times(consumer, &lookup, 1);
	return lookup.offset;
}

/* A handle for one lookup, given back when the lookup's context goes. */
static void
checkin_callback(void *arg)
{
	KafkaConnectionCheckin((KafkaHandle *) arg);
}

/* A topic in a listing. */
typedef struct ListedTopic
{
	char	   *name;
	int			npartitions;
} ListedTopic;

static int
compare_topics(const void *a, const void *b)
{
	return strcmp(((const ListedTopic *) a)->name, ((const ListedTopic *) b)->name);
}

List *
KafkaConsumerTopics(const KafkaServer *server, bool internal, List **npartitions)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw topic list",
											  ALLOCSET_SMALL_SIZES);
	MemoryContextCallback *callback = MemoryContextAllocZero(cxt, sizeof(MemoryContextCallback));
	KafkaHandle *handle = KafkaConnectionCheckout(server, KAFKA_HANDLE_SMALL);
	Lookup	   *lookup;
	ListedTopic *listed;
	List	   *topics = NIL;
	int			n = 0;

	callback->func = checkin_callback;
	callback->arg = handle;
	MemoryContextRegisterResetCallback(cxt, callback);
	lookup = make_lookup(server);
	KafkaConnectionCall(handle, list_topics, lookup, free_lookup);
	if (lookup->err)
	{
		Lookup		failed = *lookup;

		free_lookup(lookup);
		KafkaConnectionServe(handle);
		lookup_error(handle, NULL, &failed);
	}

	/* Out of malloc's memory first: what follows may throw. */
	listed = palloc_extended(lookup->metadata->topic_cnt * sizeof(ListedTopic), MCXT_ALLOC_NO_OOM);
	for (int i = 0; listed && i < lookup->metadata->topic_cnt; i++)
	{
		const rd_kafka_metadata_topic_t *topic = &lookup->metadata->topics[i];
		size_t		size = strlen(topic->topic) + 1;

		/* librdkafka does not pass on which topics are internal; Kafka's own begin so. */
		if (topic->err || (!internal && strncmp(topic->topic, "__", 2) == 0))
			continue;
		listed[n].npartitions = topic->partition_cnt;
		listed[n].name = palloc_extended(size, MCXT_ALLOC_NO_OOM);
		if (listed[n].name == NULL)
			listed = NULL;
		else
			memcpy(listed[n++].name, topic->topic, size);
	}
	free_lookup(lookup);
	if (listed == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	MemoryContextDelete(cxt);

	qsort(listed, n, sizeof(ListedTopic), compare_topics);
	if (npartitions)
		*npartitions = NIL;
	for (int i = 0; i < n; i++)
	{
		topics = lappend(topics, listed[i].name);
		if (npartitions)
			*npartitions = lappend_int(*npartitions, listed[i].npartitions);
	}
	pfree(listed);
	return topics;
}

void
KafkaConsumerUnknownTopic(const KafkaServer *server, const char *topic)
{
	List	   *topics = NIL;
	const char *nearest;
	ListCell   *lc;

	foreach(lc, KafkaConsumerTopics(server, false, NULL))
	{
		if (KafkaOptionTopicAllowed(server, lfirst(lc)))
			topics = lappend(topics, lfirst(lc));
	}
	nearest = KafkaOptionNearest(topic, topics);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("topic \"%s\" does not exist on Kafka server \"%s\"", topic, server->name),
			 nearest
			 ? errhint("Perhaps you meant the topic \"%s\"; kafka_create_topic makes a new one.",
					   nearest)
			 : errhint("kafka_create_topic makes a new topic.")));
}
