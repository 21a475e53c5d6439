/*
 * admin_look.c
 *		What a cluster consists of: topics, partitions with their offsets, brokers.
 *
 * Topics and brokers take one request. Partitions take the metadata, and the first offset and both
 * ends of all partitions: one request for each of these to each broker. The isolation level, which
 * decides between the two ends, is a property of librdkafka's handle in versions that have no other
 * way; so a second handle asks for the high watermarks.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

#include "admin_compat.h"
#include "admin_private.h"

#define UNKNOWN_OFFSET (-1)

/* A partition, and where it begins and ends. */
typedef struct PartitionRow
{
	const rd_kafka_metadata_topic_t *topic;
	const rd_kafka_metadata_partition_t *partition;
	int64		low;
	int64		high;
	int64		committed_end;
} PartitionRow;

/* All that are to be shown; the metadata that they point to belong to the call. */
typedef struct PartitionRows
{
	PartitionRow *rows;
	int			nrows;
} PartitionRows;

static const AdminFunction topics = {
	"kafka_topics()", ADMIN_CLUSTER, 0, false,
	"could not list the topics of Kafka server \"%s\""
};

static const AdminFunction partitions_of_topic = {
	"kafka_partitions()", ADMIN_TOPICS, 1, false,
	"could not look up the partitions of topic \"%s\" on Kafka server \"%s\""
};

static const AdminFunction partitions_of_all = {
	"kafka_partitions()", ADMIN_TOPICS, 1, false,
	"could not look up the partitions of Kafka server \"%s\""
};

static const AdminFunction brokers = {
	"kafka_brokers()", ADMIN_CLUSTER, 0, false,
	"could not list the brokers of Kafka server \"%s\""
};

PG_FUNCTION_INFO_V1(kafka_topics);
PG_FUNCTION_INFO_V1(kafka_partitions);
PG_FUNCTION_INFO_V1(kafka_brokers);

/* True for a topic of the metadata that is to be shown. */
static bool
is_shown(const AdminCall *call, const rd_kafka_metadata_topic_t *topic)
{
	return topic->err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART &&
		topic->err != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED &&
		KafkaOptionTopicAllowed(call->server, topic->topic);
}

static int
compare_topics(const void *a, const void *b)
{
	return strcmp((*(const rd_kafka_metadata_topic_t *const *) a)->topic,
				  (*(const rd_kafka_metadata_topic_t *const *) b)->topic);
}

/* The topics of the metadata that are to be shown, by name. */
static const rd_kafka_metadata_topic_t **
shown_topics(AdminCall *call, int *ntopics)
{
	const rd_kafka_metadata_t *metadata = call->metadata;
	const rd_kafka_metadata_topic_t **shown;

	shown = MemoryContextAllocHuge(call->attempt_cxt, (metadata->topic_cnt + 1) * sizeof(*shown));
	*ntopics = 0;
	for (int i = 0; i < metadata->topic_cnt; i++)
	{
		if (is_shown(call, &metadata->topics[i]))
			shown[(*ntopics)++] = &metadata->topics[i];
	}
	qsort(shown, *ntopics, sizeof(*shown), compare_topics);
	return shown;
}

/* The cluster's topics, those that allowed_topics leaves out excepted. */
Datum
kafka_topics(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, &topics);
	const rd_kafka_metadata_topic_t **shown;
	int			ntopics;
	rd_kafka_resp_err_t err;

	kafka_admin_open(call, call->server->read_committed);
	err = kafka_admin_look(call, NULL);
	if (err)
		kafka_admin_report(call, err, NULL);
	shown = shown_topics(call, &ntopics);
	for (int i = 0; i < ntopics; i++)
	{
		const rd_kafka_metadata_topic_t *topic = shown[i];
		Datum		values[6];
		bool		nulls[6] = {false};
		int			nreplicas = 0;
		int			nunder = 0;
		int			noffline = 0;

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < topic->partition_cnt; j++)
		{
			const rd_kafka_metadata_partition_t *partition = &topic->partitions[j];

			nreplicas = Max(nreplicas, partition->replica_cnt);
			nunder += partition->isr_cnt < partition->replica_cnt;
			noffline += partition->leader < 0;
		}
		values[0] = kafka_admin_text(call, topic->topic, &nulls[0]);
		values[1] = Int32GetDatum(topic->partition_cnt);
		values[2] = Int32GetDatum(nreplicas);
		values[3] = Int32GetDatum(nunder);
		values[4] = Int32GetDatum(noffline);
		/* librdkafka does not pass on which topics are internal; Kafka's own begin so. */
		values[5] = BoolGetDatum(strncmp(topic->topic, "__", 2) == 0);
		kafka_admin_row(call, values, nulls);
	}
	kafka_admin_end(call);
	return (Datum) 0;
}

static int
compare_partitions(const void *a, const void *b)
{
	int32		x = ((const PartitionRow *) a)->partition->id;
	int32		y = ((const PartitionRow *) b)->partition->id;

	return (x > y) - (x < y);
}

/* The partitions of the metadata, by topic and number. */
static void
collect_partitions(AdminCall *call, PartitionRows *result)
{
	const rd_kafka_metadata_topic_t **shown;
	int			ntopics;
	size_t		total = 0;

	MemoryContextReset(call->attempt_cxt);
	shown = shown_topics(call, &ntopics);
	for (int i = 0; i < ntopics; i++)
		total += shown[i]->partition_cnt;
	result->nrows = 0;
	result->rows = MemoryContextAllocHuge(call->attempt_cxt, (total + 1) * sizeof(PartitionRow));
	for (int i = 0; i < ntopics; i++)
	{
		PartitionRow *first = &result->rows[result->nrows];

		for (int j = 0; j < shown[i]->partition_cnt; j++)
		{
			PartitionRow *row = &result->rows[result->nrows++];

			row->topic = shown[i];
			row->partition = &shown[i]->partitions[j];
			row->low = row->high = row->committed_end = UNKNOWN_OFFSET;
		}
		qsort(first, shown[i]->partition_cnt, sizeof(PartitionRow), compare_partitions);
	}
}

/*
 * Ask for one offset of each partition that has a leader, to be stored in the field of the row that
 * begins at "field".
 */
static rd_kafka_resp_err_t
look_up_field(AdminCall *call, PartitionRows *partitions, int64 time, size_t field)
{
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new(partitions->nrows);
	rd_kafka_resp_err_t err;
	int			n = 0;

	for (int i = 0; i < partitions->nrows; i++)
	{
		const PartitionRow *row = &partitions->rows[i];

		if (row->partition->leader >= 0)
			rd_kafka_topic_partition_list_add(list, row->topic->topic, row->partition->id);
	}
	if (list->cnt == 0)
	{
		rd_kafka_topic_partition_list_destroy(list);
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	}
	err = kafka_admin_offsets(call, list, time);
	for (int i = 0; i < partitions->nrows && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
	{
		PartitionRow *row = &partitions->rows[i];
		const rd_kafka_topic_partition_t *elem;

		if (row->partition->leader < 0)
			continue;
		elem = &call->offsets->elems[n++];
		/* It had a leader a moment ago. */
		if (elem->err)
			err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
		*(int64 *) ((char *) row + field) = elem->offset;
	}
	return err;
}

/* What is wrong with the one topic, unless its partitions say that themselves. */
static rd_kafka_resp_err_t
topic_error(const AdminCall *call)
{
	if (call->metadata->topic_cnt != 1)
		return RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	return call->metadata->topics[0].partition_cnt > 0 ? RD_KAFKA_RESP_ERR_NO_ERROR
		: call->metadata->topics[0].err;
}

/*
 * The partitions of the topic, or of all, and their offsets. What passes is tried again from the
 * start, since a partition may have lost its leader meanwhile, and then has no offsets to be had.
 */
static void
look_at_partitions(AdminCall *call, PartitionRows *result)
{
	rd_kafka_resp_err_t err;

	do
	{
		kafka_admin_open(call, true);
		err = kafka_admin_look(call, call->object);
		if (err == RD_KAFKA_RESP_ERR_NO_ERROR && call->object)
			err = topic_error(call);
		if (err)
			continue;
		collect_partitions(call, result);
		err = look_up_field(call, result, ADMIN_EARLIEST, offsetof(PartitionRow, low));
		if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
			err = look_up_field(call, result, ADMIN_LATEST, offsetof(PartitionRow, committed_end));
		if (err)
			continue;
		kafka_admin_open(call, false);
		err = look_up_field(call, result, ADMIN_LATEST, offsetof(PartitionRow, high));
	} while (err && kafka_admin_retry(call, err));
	if (err)
		kafka_admin_report_offsets(call, err);
}

/* Numbers of brokers as an array. */
static Datum
broker_array(AdminCall *call, const int32_t *ids, int n)
{
	MemoryContext old = MemoryContextSwitchTo(call->row_cxt);
	Datum	   *elems = palloc(n * sizeof(Datum) + 1);
	Datum		result;

	for (int i = 0; i < n; i++)
		elems[i] = Int32GetDatum(ids[i]);
	result = PointerGetDatum(construct_array(elems, n, INT4OID, sizeof(int32), true,
											 TYPALIGN_INT));
	MemoryContextSwitchTo(old);
	return result;
}

/* The partitions of a topic, or of all. */
Datum
kafka_partitions(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, PG_ARGISNULL(0) ? &partitions_of_all
										 : &partitions_of_topic);
	PartitionRows partitions = {NULL, 0};

	look_at_partitions(call, &partitions);
	for (int i = 0; i < partitions.nrows; i++)
	{
		const PartitionRow *row = &partitions.rows[i];
		const rd_kafka_metadata_partition_t *partition = row->partition;
		Datum		values[8];
		bool		nulls[8] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = kafka_admin_text(call, row->topic->topic, &nulls[0]);
		values[1] = Int32GetDatum(partition->id);
		nulls[2] = partition->leader < 0;
		values[2] = Int32GetDatum(partition->leader);
		values[3] = broker_array(call, partition->replicas, partition->replica_cnt);
		values[4] = broker_array(call, partition->isrs, partition->isr_cnt);
		nulls[5] = row->low == UNKNOWN_OFFSET;
		values[5] = Int64GetDatum(row->low);
		nulls[6] = row->high == UNKNOWN_OFFSET;
		values[6] = Int64GetDatum(row->high);
		nulls[7] = row->committed_end == UNKNOWN_OFFSET;
		values[7] = Int64GetDatum(row->committed_end);
		kafka_admin_row(call, values, nulls);
	}
	kafka_admin_end(call);
	return (Datum) 0;
}

static int
compare_brokers(const void *a, const void *b)
{
	int32		x = (*(const rd_kafka_metadata_broker_t *const *) a)->id;
	int32		y = (*(const rd_kafka_metadata_broker_t *const *) b)->id;

	return (x > y) - (x < y);
}

/* The brokers that are up. */
Datum
kafka_brokers(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, &brokers);
	const rd_kafka_metadata_broker_t **sorted;
	int			n;
	rd_kafka_resp_err_t err;
	int32		controller;
	rd_kafka_event_t *description = NULL;

	kafka_admin_open(call, call->server->read_committed);
	err = kafka_admin_look(call, ADMIN_NO_TOPIC);
	if (err)
		kafka_admin_report(call, err, NULL);
	controller = rd_kafka_controllerid(call->handle->rk, 0);
	if (kafka_can_describe_cluster())
	{
		kafka_admin_prepare(call, DESCRIBE_CLUSTER_OP, 0);
		kafka_describe_cluster(call->handle->rk, call->options, call->queue);
		description = kafka_admin_answer(call);
	}
	n = call->metadata->broker_cnt;
	sorted = MemoryContextAlloc(call->cxt, (n + 1) * sizeof(*sorted));
	for (int i = 0; i < n; i++)
		sorted[i] = &call->metadata->brokers[i];
	qsort(sorted, n, sizeof(*sorted), compare_brokers);
	for (int i = 0; i < n; i++)
	{
		Datum		values[5];
		bool		nulls[5] = {false};

		values[0] = Int32GetDatum(sorted[i]->id);
		values[1] = kafka_admin_text(call, sorted[i]->host, &nulls[1]);
		values[2] = Int32GetDatum(sorted[i]->port);
		values[3] = kafka_admin_text(call, description ? kafka_broker_rack(description, sorted[i]->id)
									 : NULL, &nulls[3]);
		values[4] = BoolGetDatum(sorted[i]->id == controller);
		kafka_admin_row(call, values, nulls);
	}
	kafka_admin_end(call);
	return (Datum) 0;
}
