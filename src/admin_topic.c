/*
 * admin_topic.c
 *		Topics made, deleted, widened, and emptied of old records.
 *
 * The cluster answers a change when its controller has decided, which other brokers learn a little
 * later; so that the next statement can rely on the change, the function then waits until brokers
 * show it, and leaders go by it.
 *
 * Nothing here follows PostgreSQL's transactions: a ROLLBACK does not bring a topic back.
 */
#include "postgres.h"

#include "admin_private.h"

#define BROKER_DEFAULT (-1)		/* a number of partitions or replicas that is not given */

/* What a change is to come to in the metadata. */
typedef enum Outcome
{
	TOPIC_READY,				/* the number of partitions (0: any), each with a leader */
	TOPIC_GONE
} Outcome;

static const AdminFunction create_topic = {
	"kafka_create_topic()", ADMIN_TOPIC, 4, true,
	"could not create topic \"%s\" on Kafka server \"%s\""
};

static const AdminFunction delete_topic = {
	"kafka_delete_topic()", ADMIN_TOPIC, 1, true,
	"could not delete topic \"%s\" on Kafka server \"%s\""
};

static const AdminFunction add_partitions = {
	"kafka_add_partitions()", ADMIN_TOPIC, 2, true,
	"could not add partitions to topic \"%s\" on Kafka server \"%s\""
};

static const AdminFunction delete_records = {
	"kafka_delete_records()", ADMIN_TOPIC, 3, true,
	"could not delete records of topic \"%s\" on Kafka server \"%s\""
};

PG_FUNCTION_INFO_V1(kafka_create_topic);
PG_FUNCTION_INFO_V1(kafka_delete_topic);
PG_FUNCTION_INFO_V1(kafka_add_partitions);
PG_FUNCTION_INFO_V1(kafka_delete_records);

/* The answer that concerns our one topic. */
static void
check_topic_result(AdminCall *call, const rd_kafka_topic_result_t **results, size_t nresults)
{
	if (nresults != 1)
		elog(ERROR, "%zu results came for one topic", nresults);
	if (rd_kafka_topic_result_error(results[0]))
		kafka_admin_report(call, rd_kafka_topic_result_error(results[0]),
						   rd_kafka_topic_result_error_string(results[0]));
}

/* True where the metadata of the topic are as they are to be. */
static bool
shows_outcome(AdminCall *call, Outcome outcome, int npartitions)
{
	rd_kafka_resp_err_t err = kafka_admin_look_at_topic(call);
	const rd_kafka_metadata_topic_t *topic;

	if (call->metadata == NULL)
		return false;
	/* This user is not shown the topic, however long he waits. */
	if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		return true;
	if (outcome == TOPIC_GONE)
		return err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
			err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
	if (err)
		return false;
	topic = &call->metadata->topics[0];
	for (int i = 0; i < topic->partition_cnt; i++)
	{
		if (topic->partitions[i].err || topic->partitions[i].leader < 0)
			return false;
	}
	return topic->partition_cnt > 0 && topic->partition_cnt >= npartitions;
}

/*
 * True where the leaders of the topic's partitions know that they are it: what metadata say of new
 * partitions is ahead of them, where there are many. (Who may create a topic need not be one who may
 * look at it.)
 */
static bool
leaders_are_ready(AdminCall *call)
{
	const rd_kafka_metadata_topic_t *topic = &call->metadata->topics[0];
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new(topic->partition_cnt);
	rd_kafka_resp_err_t err;

	for (int i = 0; i < topic->partition_cnt; i++)
		rd_kafka_topic_partition_list_add(list, call->object, topic->partitions[i].id);
	err = kafka_admin_offsets(call, list, ADMIN_EARLIEST);
	for (int i = 0; i < call->offsets->cnt && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
		err = call->offsets->elems[i].err;
	return err == RD_KAFKA_RESP_ERR_NO_ERROR || err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
}

/* The brokers that have answered; as many as the result says. */
static int
answering_brokers(AdminCall *call, int32 **brokers)
{
	int			n = 0;

	*brokers = MemoryContextAlloc(call->cxt, (call->nevents + 1) * sizeof(int32));
	for (int i = 0; i < call->nevents; i++)
	{
		if (rd_kafka_event_error(call->events[i]) == RD_KAFKA_RESP_ERR_NO_ERROR)
			(*brokers)[n++] = kafka_admin_from_broker(call->events[i]);
	}
	return n;
}

/*
 * Wait until all brokers that can be reached show the change. librdkafka does not let us choose whom
 * to ask for metadata, but says who has answered, and takes anyone of those with whom it has just
 * been in touch. So all are spoken to, and then asked until each has shown it.
 */
static void
await_all_brokers(AdminCall *call, Outcome outcome, int npartitions)
{
	int32	   *brokers;
	int			n;
	TimestampTz until;

	kafka_admin_ask_all_brokers(call);
	n = answering_brokers(call, &brokers);
	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										Min(kafka_admin_time_left(call), ADMIN_SETTLE_MS));
	while (n > 0 && GetCurrentTimestamp() < until)
	{
		if (!shows_outcome(call, outcome, npartitions))
		{
			(void) KafkaConnectionWait(call->handle, ADMIN_LOOK_INTERVAL_MS);
			continue;
		}
		for (int i = 0; i < n; i++)
		{
			if (brokers[i] == call->metadata->orig_broker_id)
				brokers[i--] = brokers[--n];
		}
	}
}

/*
 * Wait until brokers show the change, which has been made: if that takes too long it is a warning.
 */
static void
await_outcome(AdminCall *call, Outcome outcome, int npartitions)
{
	while (!shows_outcome(call, outcome, npartitions) ||
		   (outcome == TOPIC_READY && !leaders_are_ready(call)))
	{
		int			left = kafka_admin_time_left(call);

		if (left <= 0)
		{
			kafka_admin_warn_unseen(call);
			return;
		}
		(void) KafkaConnectionWait(call->handle, Min(left, ADMIN_LOOK_INTERVAL_MS));
	}
	if (call->metadata->broker_cnt > 1)
		await_all_brokers(call, outcome, npartitions);
}

/* A number of partitions or replicas, which the caller may have left to the broker. */
static int
count_argument(FunctionCallInfo fcinfo, const AdminFunction *function, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		return BROKER_DEFAULT;
	if (PG_GETARG_INT32(n) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must be at least 1", name, function->name)));
	return PG_GETARG_INT32(n);
}

/* Hand a new topic's settings to librdkafka; the name of one that it refuses, or NULL. */
static const char *
set_topic_settings(rd_kafka_NewTopic_t * topic, List *settings)
{
	ListCell   *lc;

	foreach(lc, settings)
	{
		AdminSetting *setting = (AdminSetting *) lfirst(lc);

		if (rd_kafka_NewTopic_set_config(topic, setting->name, setting->value))
			return setting->name;
	}
	return NULL;
}

/* Create a topic; what is NULL is the broker's to choose. */
Datum
kafka_create_topic(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, &create_topic);
	int			npartitions = count_argument(fcinfo, &create_topic, 1, "partitions");
	int			nreplicas = count_argument(fcinfo, &create_topic, 2, "replication_factor");
	rd_kafka_NewTopic_t *topic;
	char		errstr[256];
	List	   *settings = NIL;
	const char *refused;
	const rd_kafka_topic_result_t **results;
	size_t		nresults;

	if (!PG_ARGISNULL(3))
	{
		MemoryContext old = MemoryContextSwitchTo(call->cxt);

		settings = kafka_admin_settings(PG_GETARG_JSONB_P(3), false);
		MemoryContextSwitchTo(old);
	}
	kafka_admin_open(call, call->server->read_committed);
	kafka_admin_prepare(call, RD_KAFKA_ADMIN_OP_CREATETOPICS, 0);

	/* Nothing throws while "topic" is held. */
	topic = rd_kafka_NewTopic_new(call->object, npartitions, nreplicas, errstr, sizeof(errstr));
	if (topic == NULL)
		kafka_admin_report(call, RD_KAFKA_RESP_ERR__INVALID_ARG, errstr);
	refused = set_topic_settings(topic, settings);
	if (refused == NULL)
		rd_kafka_CreateTopics(call->handle->rk, &topic, 1, call->options, call->queue);
	rd_kafka_NewTopic_destroy(topic);
	if (refused)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid topic setting \"%s\"", refused)));

	results =
		rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(kafka_admin_answer(call)),
											&nresults);
	check_topic_result(call, results, nresults);
	await_outcome(call, TOPIC_READY, Max(npartitions, 0));
	kafka_admin_end(call);
	PG_RETURN_VOID();
}

/* Delete a topic and all that is in it. */
Datum
kafka_delete_topic(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, &delete_topic);
	rd_kafka_DeleteTopic_t *topic;
	const rd_kafka_topic_result_t **results;
	size_t		nresults;

	kafka_admin_open(call, call->server->read_committed);
	kafka_admin_prepare(call, RD_KAFKA_ADMIN_OP_DELETETOPICS, 0);
	topic = rd_kafka_DeleteTopic_new(call->object);
	rd_kafka_DeleteTopics(call->handle->rk, &topic, 1, call->options, call->queue);
	rd_kafka_DeleteTopic_destroy(topic);

	results =
		rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(kafka_admin_answer(call)),
											&nresults);
	check_topic_result(call, results, nresults);
	await_outcome(call, TOPIC_GONE, 0);
	kafka_admin_end(call);
	PG_RETURN_VOID();
}

/* Give a topic more partitions. */
Datum
kafka_add_partitions(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, &add_partitions);
	int			npartitions;
	rd_kafka_NewPartitions_t *partitions;
	char		errstr[256];
	const		rd_kafka_CreatePartitions_result_t *result;
	const rd_kafka_topic_result_t **results;
	size_t		nresults;

	kafka_admin_require(fcinfo, &add_partitions, 1, "partitions");
	npartitions = count_argument(fcinfo, &add_partitions, 1, "partitions");
	kafka_admin_open(call, call->server->read_committed);
	kafka_admin_prepare(call, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, 0);
	partitions = rd_kafka_NewPartitions_new(call->object, npartitions, errstr, sizeof(errstr));
	if (partitions == NULL)
		kafka_admin_report(call, RD_KAFKA_RESP_ERR__INVALID_ARG, errstr);
	rd_kafka_CreatePartitions(call->handle->rk, &partitions, 1, call->options, call->queue);
	rd_kafka_NewPartitions_destroy(partitions);

	result = rd_kafka_event_CreatePartitions_result(kafka_admin_answer(call));
	results = rd_kafka_CreatePartitions_result_topics(result, &nresults);
	check_topic_result(call, results, nresults);
	await_outcome(call, TOPIC_READY, npartitions);
	kafka_admin_end(call);
	PG_RETURN_VOID();
}

/* ERROR for a partition that the topic does not have. */
static void
check_partition(AdminCall *call, int32 partition)
{
	rd_kafka_resp_err_t err = kafka_admin_look_at_topic(call);
	int			npartitions;

	if (err)
		kafka_admin_report(call, err, NULL);
	npartitions = call->metadata->topics[0].partition_cnt;
	if (partition < 0 || partition >= npartitions)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("partition %d does not exist in topic \"%s\"", partition, call->object),
				 errdetail_plural("The topic has %d partition.", "The topic has %d partitions.",
								  npartitions, npartitions)));
}

/* Raise that a partition's records were not deleted, where that is so. */
static void
check_deletion(AdminCall *call, const rd_kafka_topic_partition_t *answer, int64 before)
{
	if (answer->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("offset " INT64_FORMAT " is beyond the end of topic \"%s\" partition %d",
						before, call->object, (int) answer->partition)));
	if (answer->err == RD_KAFKA_RESP_ERR_POLICY_VIOLATION)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_internal("%s", call->failure),
				 errdetail("The topic's cleanup.policy does not contain \"delete\".")));
	if (answer->err)
		kafka_admin_report(call, answer->err, NULL);
}

/* Delete what stands before an offset in one partition; the first offset that is left. */
Datum
kafka_delete_records(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, &delete_records);
	int32		partition;
	int64		before;
	rd_kafka_topic_partition_list_t *offsets;
	const rd_kafka_topic_partition_list_t *answer;
	rd_kafka_DeleteRecords_t *records;
	int64		low;

	kafka_admin_require(fcinfo, &delete_records, 1, "partition");
	kafka_admin_require(fcinfo, &delete_records, 2, "before_offset");
	partition = PG_GETARG_INT32(1);
	before = PG_GETARG_INT64(2);
	if (before < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must not be negative", "before_offset",
						delete_records.name)));

	kafka_admin_open(call, call->server->read_committed);

	/* librdkafka would wait in vain for the leader of a partition that there is not. */
	check_partition(call, partition);

	kafka_admin_prepare(call, RD_KAFKA_ADMIN_OP_DELETERECORDS, 0);
	offsets = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(offsets, call->object, partition)->offset = before;
	records = rd_kafka_DeleteRecords_new(offsets);
	rd_kafka_DeleteRecords(call->handle->rk, &records, 1, call->options, call->queue);
	rd_kafka_DeleteRecords_destroy(records);
	rd_kafka_topic_partition_list_destroy(offsets);

	answer =
		rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(kafka_admin_answer(call)));
	if (answer->cnt != 1)
		elog(ERROR, "%d results came for one partition", answer->cnt);
	check_deletion(call, &answer->elems[0], before);
	low = answer->elems[0].offset;
	kafka_admin_end(call);
	PG_RETURN_INT64(low);
}
