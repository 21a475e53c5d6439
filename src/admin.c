/*
 * admin.c
 *		Changes of the cluster from SQL: topics made, deleted, widened, and emptied of old records.
 *
 * A function sends one request through librdkafka's admin interface and waits for its answer. The
 * cluster answers when its controller has decided, which other brokers learn a little later; so
 * that the next statement can rely on the change, the function then waits until the topic's
 * metadata show it. All of that together takes no longer than the server's metadata_timeout.
 *
 * Nothing here follows PostgreSQL's transactions: a ROLLBACK does not bring a topic back.
 */
#include "postgres.h"

#include <stdlib.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "connection.h"
#include "consumer.h"
#include "setting.h"
#include "text.h"

#define PROBE_INTERVAL_MS 10	/* between two looks at a topic's metadata */
#define MAX_REQUEST_MS (3600 * 1000)	/* librdkafka's own limit */
#define BROKER_DEFAULT (-1)		/* a number of partitions or replicas that is not given */

/* A change under way. Hangs on a context of its own, whose reset gives everything back. */
typedef struct AdminCall
{
	MemoryContext cxt;
	MemoryContextCallback callback;
	const char *function;		/* for messages */
	const char *failure;		/* what could not be done; takes the topic and the server */
	KafkaServer *server;
	char	   *topic;
	TimestampTz deadline;
	KafkaHandle *handle;
	rd_kafka_queue_t *queue;	/* where the answer comes */
	rd_kafka_AdminOptions_t *options;
	rd_kafka_event_t *event;	/* the answer */
	bool		waiting;		/* for the answer */
} AdminCall;

/* A look at a topic's metadata, by a thread. Allocated by malloc(). */
typedef struct Probe
{
	char		topic[256];
	KafkaDeadline deadline;
	rd_kafka_resp_err_t err;
	int			npartitions;
	int			nready;			/* partitions that have a leader */
} Probe;

/* What a change is to come to in the metadata. */
typedef enum Outcome
{
	TOPIC_READY,				/* the number of partitions (0: any), each with a leader */
	TOPIC_GONE
} Outcome;

/* A topic's setting, in UTF-8. */
typedef struct TopicConfig
{
	char	   *name;
	char	   *value;
} TopicConfig;

PG_FUNCTION_INFO_V1(kafka_create_topic);
PG_FUNCTION_INFO_V1(kafka_delete_topic);
PG_FUNCTION_INFO_V1(kafka_add_partitions);
PG_FUNCTION_INFO_V1(kafka_delete_records);

/*
 * The context's callback, on success and on error. A handle with a request still under way is not
 * used again: its answer would find nobody.
 */
static void
release_call(void *arg)
{
	AdminCall  *call = (AdminCall *) arg;

	if (call->event)
		rd_kafka_event_destroy(call->event);
	if (call->queue)
	{
		rd_kafka_queue_io_event_enable(call->queue, -1, NULL, 0);
		rd_kafka_queue_destroy(call->queue);
	}
	if (call->options)
		rd_kafka_AdminOptions_destroy(call->options);
	if (call->handle)
	{
		if (call->waiting)
			call->handle->stale = true;
		KafkaConnectionCheckin(call->handle);
	}
	call->event = NULL;
	call->queue = NULL;
	call->options = NULL;
	call->handle = NULL;
}

/* ERROR where a function was not given what it needs. */
static void
require_argument(FunctionCallInfo fcinfo, int n, const char *name, const char *function)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" of %s must not be null", name, function)));
}

/*
 * Check the caller's rights and arguments that all of the functions have: the first is the topic,
 * server_arg the server. Contacts nobody.
 */
static AdminCall *
begin_call(FunctionCallInfo fcinfo, int server_arg, const char *function, const char *failure)
{
	AdminCall  *call;
	Oid			serverid;
	MemoryContext cxt;
	MemoryContext old;

	KafkaSettingCheckWrite(function);
	require_argument(fcinfo, 0, "topic", function);
	serverid = KafkaOptionChooseServer(PG_ARGISNULL(server_arg) ? NULL
									   : NameStr(*PG_GETARG_NAME(server_arg)), GetUserId());

	cxt = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw admin", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	call = palloc0(sizeof(AdminCall));
	call->cxt = cxt;
	call->function = function;
	call->failure = failure;
	call->server = KafkaOptionGetServer(serverid, GetUserId());
	call->topic = text_to_cstring(PG_GETARG_TEXT_PP(0));
	KafkaOptionCheckTopic(call->server, call->topic);
	MemoryContextSwitchTo(old);
	return call;
}

static int
time_left(const AdminCall *call)
{
	TimestampTz now = GetCurrentTimestamp();

	return call->deadline > now ? (int) ((call->deadline - now) / 1000) : 0;
}

/*
 * True where a request may have been carried out although it failed. Librdkafka does not tell a
 * request that was never sent from one whose answer did not come.
 */
static bool
outcome_unknown(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR__TIMED_OUT || err == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT ||
		err == RD_KAFKA_RESP_ERR__TRANSPORT;
}

/* Raise what librdkafka or the cluster said of the request. */
pg_noreturn static void
report_failure(AdminCall *call, rd_kafka_resp_err_t err, const char *errstr)
{
	char	   *cause = KafkaConnectionCause(call->handle, err, errstr);
	const char *hint = KafkaConnectionHint(err);

	if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
	{
		release_call(call);
		KafkaConsumerUnknownTopic(call->server, call->topic);
	}
	if (err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("topic \"%s\" already exists on Kafka server \"%s\"", call->topic,
						call->server->name)));
	if (err == RD_KAFKA_RESP_ERR_POLICY_VIOLATION)
		hint = NULL;			/* not an ACL; the detail has the policy's own words */
	ereport(ERROR,
			(errcode(KafkaConnectionSqlState(err)),
			 errmsg(call->failure, call->topic, call->server->name),
			 outcome_unknown(err)
			 ? errdetail("%s. The cluster may carry the change out all the same.", cause)
			 : errdetail_internal("%s.", cause),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * Take a handle, and begin to count the time. From here on nothing is left behind, whatever is
 * thrown.
 */
static void
open_call(AdminCall *call)
{
	static const uint64 one = 1;

	call->callback.func = release_call;
	call->callback.arg = call;
	MemoryContextRegisterResetCallback(call->cxt, &call->callback);
	call->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												 call->server->metadata_timeout);
	call->handle = KafkaConnectionCheckout(call->server, KAFKA_HANDLE_SMALL);
	call->queue = rd_kafka_queue_new(call->handle->rk);
	rd_kafka_queue_io_event_enable(call->queue, call->handle->efd, &one, sizeof(one));
}

/* The options of the request: the time that is left, for librdkafka and for the controller. */
static void
set_options(AdminCall *call, rd_kafka_admin_op_t op)
{
	int			timeout = Min(Max(time_left(call), 1), MAX_REQUEST_MS);
	char		errstr[256];

	call->options = rd_kafka_AdminOptions_new(call->handle->rk, op);
	if (rd_kafka_AdminOptions_set_request_timeout(call->options, timeout, errstr,
												  sizeof(errstr)) ||
		rd_kafka_AdminOptions_set_operation_timeout(call->options, timeout, errstr,
													sizeof(errstr)))
		elog(ERROR, "could not set the timeouts of a Kafka request: %s", errstr);
}

/*
 * Wait for the answer to the request that was just sent. librdkafka gives one in any case: an error
 * when the request's timeout has passed. What waiting does not mend is not waited for.
 */
static void
await_answer(AdminCall *call)
{
	KafkaHandle *handle = call->handle;

	call->waiting = true;
	while ((call->event = rd_kafka_queue_poll(call->queue, 0)) == NULL)
	{
		if (handle->fatal_err)
			report_failure(call, handle->fatal_err, NULL);
		(void) KafkaConnectionWait(handle, -1);
	}
	call->waiting = false;
	KafkaConnectionServe(handle);
	if (rd_kafka_event_error(call->event))
		report_failure(call, rd_kafka_event_error(call->event),
					   rd_kafka_event_error_string(call->event));
}

/* The answer that concerns our one topic. */
static void
check_topic_result(AdminCall *call, const rd_kafka_topic_result_t **results, size_t nresults)
{
	if (nresults != 1)
		elog(ERROR, "%zu results came for one topic", nresults);
	if (rd_kafka_topic_result_error(results[0]))
		report_failure(call, rd_kafka_topic_result_error(results[0]),
					   rd_kafka_topic_result_error_string(results[0]));
}

/* Runs in a thread. */
static void
look_at_topic(rd_kafka_t *rk, void *arg)
{
	Probe	   *probe = (Probe *) arg;
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, probe->topic, NULL);
	const rd_kafka_metadata_t *metadata;

	if (rkt == NULL)
	{
		probe->err = rd_kafka_last_error();
		return;
	}
	do
	{
		probe->err = rd_kafka_metadata(rk, 0, rkt, &metadata,
									   KafkaConnectionSlice(&probe->deadline));
	} while (probe->err == RD_KAFKA_RESP_ERR__TIMED_OUT && KafkaConnectionRetry(&probe->deadline));
	if (probe->err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		const rd_kafka_metadata_topic_t *topic = &metadata->topics[0];

		probe->err = metadata->topic_cnt == 1 ? topic->err
			: RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
		probe->npartitions = metadata->topic_cnt == 1 ? topic->partition_cnt : 0;
		for (int i = 0; i < probe->npartitions; i++)
			probe->nready += topic->partitions[i].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
				topic->partitions[i].leader >= 0;
		rd_kafka_metadata_destroy(metadata);
	}
	rd_kafka_topic_destroy(rkt);
}

/* The topic's metadata as a broker has them now. */
static Probe
probe_topic(AdminCall *call)
{
	Probe	   *probe = calloc(1, sizeof(Probe));
	Probe		result;

	if (probe == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	strlcpy(probe->topic, call->topic, sizeof(probe->topic));
	probe->deadline = KafkaConnectionDeadline(Max(time_left(call), 1));
	KafkaConnectionCall(call->handle, look_at_topic, probe, free);
	result = *probe;
	free(probe);
	return result;
}

/*
 * Wait until brokers show the change, which has been made: if that takes too long it is a warning.
 */
static void
await_outcome(AdminCall *call, Outcome outcome, int npartitions)
{
	for (;;)
	{
		Probe		probe = probe_topic(call);
		int			left;

		if (outcome == TOPIC_GONE)
		{
			if (probe.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
				probe.err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
				return;
		}
		else if (probe.err == RD_KAFKA_RESP_ERR_NO_ERROR && probe.npartitions > 0 &&
				 probe.npartitions >= npartitions && probe.nready == probe.npartitions)
			return;

		left = time_left(call);
		if (left <= 0)
		{
			ereport(WARNING,
					(errmsg("topic \"%s\" of Kafka server \"%s\" does not show the change yet",
							call->topic, call->server->name),
					 errdetail("The cluster has accepted it, but it did not take effect within "
							   "%d ms.", call->server->metadata_timeout)));
			return;
		}
		(void) KafkaConnectionWait(call->handle, Min(left, PROBE_INTERVAL_MS));
	}
}

/* The end of a change that went well. */
static void
end_call(AdminCall *call)
{
	MemoryContextDelete(call->cxt);
}

/* A number of partitions or replicas, which the caller may have left to the broker. */
static int
count_argument(FunctionCallInfo fcinfo, int n, const char *name, const char *function)
{
	if (PG_ARGISNULL(n))
		return BROKER_DEFAULT;
	if (PG_GETARG_INT32(n) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must be at least 1", name, function)));
	return PG_GETARG_INT32(n);
}

/* Text of the database as a string of UTF-8, which is what goes over the wire. */
static char *
to_utf8(const char *data, Size len)
{
	KafkaTextEncode(PG_UTF8, &data, &len);
	return pnstrdup(data, len);
}

/* A topic's configuration, as a List of TopicConfig *. */
static List *
parse_config(Jsonb *config)
{
	List	   *result = NIL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;
	TopicConfig *entry = NULL;

	if (!JB_ROOT_IS_OBJECT(config))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a topic's configuration must be a JSON object")));
	it = JsonbIteratorInit(&config->root);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			entry = palloc(sizeof(TopicConfig));
			entry->name = to_utf8(item.val.string.val, item.val.string.len);
		}
		else if (token == WJB_VALUE)
		{
			if (item.type == jbvString)
				entry->value = to_utf8(item.val.string.val, item.val.string.len);
			else if (item.type == jbvBool)
				entry->value = pstrdup(item.val.boolean ? "true" : "false");
			else if (item.type == jbvNumeric)
				entry->value =
					DatumGetCString(DirectFunctionCall1(numeric_out,
														NumericGetDatum(item.val.numeric)));
			else
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("invalid value of topic setting \"%s\"", entry->name),
						 errdetail("A setting is a string, a number or a boolean."),
						 errhint("Leave a setting out to have the broker's default.")));
			result = lappend(result, entry);
		}
	}
	return result;
}

/* Create a topic; what is NULL is the broker's to choose. */
Datum
kafka_create_topic(PG_FUNCTION_ARGS)
{
	AdminCall  *call = begin_call(fcinfo, 4, "kafka_create_topic()",
								  "could not create topic \"%s\" on Kafka server \"%s\"");
	int			npartitions = count_argument(fcinfo, 1, "partitions", call->function);
	int			nreplicas = count_argument(fcinfo, 2, "replication_factor", call->function);
	rd_kafka_NewTopic_t *topic;
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
	char		errstr[256];
	List	   *config = NIL;
	ListCell   *lc;
	const char *refused = NULL;
	const rd_kafka_topic_result_t **results;
	size_t		nresults;

	if (!PG_ARGISNULL(3))
	{
		MemoryContext old = MemoryContextSwitchTo(call->cxt);

		config = parse_config(PG_GETARG_JSONB_P(3));
		MemoryContextSwitchTo(old);
	}
	open_call(call);
	set_options(call, RD_KAFKA_ADMIN_OP_CREATETOPICS);

	/* Nothing throws while "topic" is held. */
	topic = rd_kafka_NewTopic_new(call->topic, npartitions, nreplicas, errstr, sizeof(errstr));
	if (topic == NULL)
		report_failure(call, RD_KAFKA_RESP_ERR__INVALID_ARG, errstr);
	foreach(lc, config)
	{
		TopicConfig *entry = (TopicConfig *) lfirst(lc);

		err = rd_kafka_NewTopic_set_config(topic, entry->name, entry->value);
		if (err)
		{
			refused = entry->name;
			break;
		}
	}
	if (refused == NULL)
		rd_kafka_CreateTopics(call->handle->rk, &topic, 1, call->options, call->queue);
	rd_kafka_NewTopic_destroy(topic);
	if (refused)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid topic setting \"%s\"", refused)));

	await_answer(call);
	results =
		rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(call->event),
											&nresults);
	check_topic_result(call, results, nresults);
	await_outcome(call, TOPIC_READY, Max(npartitions, 0));
	end_call(call);
	PG_RETURN_VOID();
}

/* Delete a topic and all that is in it. */
Datum
kafka_delete_topic(PG_FUNCTION_ARGS)
{
	AdminCall  *call = begin_call(fcinfo, 1, "kafka_delete_topic()",
								  "could not delete topic \"%s\" on Kafka server \"%s\"");
	rd_kafka_DeleteTopic_t *topic;
	const rd_kafka_topic_result_t **results;
	size_t		nresults;

	open_call(call);
	set_options(call, RD_KAFKA_ADMIN_OP_DELETETOPICS);
	topic = rd_kafka_DeleteTopic_new(call->topic);
	rd_kafka_DeleteTopics(call->handle->rk, &topic, 1, call->options, call->queue);
	rd_kafka_DeleteTopic_destroy(topic);

	await_answer(call);
	results =
		rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(call->event),
											&nresults);
	check_topic_result(call, results, nresults);
	await_outcome(call, TOPIC_GONE, 0);
	end_call(call);
	PG_RETURN_VOID();
}

/* Give a topic more partitions. */
Datum
kafka_add_partitions(PG_FUNCTION_ARGS)
{
	AdminCall  *call = begin_call(fcinfo, 2, "kafka_add_partitions()",
								  "could not add partitions to topic \"%s\" on Kafka server \"%s\"");
	int			npartitions;
	rd_kafka_NewPartitions_t *partitions;
	char		errstr[256];
	const rd_kafka_topic_result_t **results;
	size_t		nresults;

	require_argument(fcinfo, 1, "partitions", call->function);
	npartitions = count_argument(fcinfo, 1, "partitions", call->function);
	open_call(call);
	set_options(call, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS);
	partitions = rd_kafka_NewPartitions_new(call->topic, npartitions, errstr, sizeof(errstr));
	if (partitions == NULL)
		report_failure(call, RD_KAFKA_RESP_ERR__INVALID_ARG, errstr);
	rd_kafka_CreatePartitions(call->handle->rk, &partitions, 1, call->options, call->queue);
	rd_kafka_NewPartitions_destroy(partitions);

	await_answer(call);
	results =
		rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(call->event),
												&nresults);
	check_topic_result(call, results, nresults);
	await_outcome(call, TOPIC_READY, npartitions);
	end_call(call);
	PG_RETURN_VOID();
}

/* Delete what stands before an offset in one partition; the first offset that is left. */
Datum
kafka_delete_records(PG_FUNCTION_ARGS)
{
	AdminCall  *call = begin_call(fcinfo, 3, "kafka_delete_records()",
								  "could not delete records of topic \"%s\" on Kafka server \"%s\"");
	int32		partition;
	int64		before;
	Probe		probe;
	rd_kafka_topic_partition_list_t *offsets;
	const rd_kafka_topic_partition_list_t *answer;
	rd_kafka_DeleteRecords_t *records;
	rd_kafka_resp_err_t err;
	int64		low;

	require_argument(fcinfo, 1, "partition", call->function);
	require_argument(fcinfo, 2, "before_offset", call->function);
	partition = PG_GETARG_INT32(1);
	before = PG_GETARG_INT64(2);
	if (before < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must not be negative", "before_offset",
						call->function)));

	open_call(call);

	/* librdkafka would wait in vain for the leader of a partition that there is not. */
	probe = probe_topic(call);
	if (probe.err)
		report_failure(call, probe.err, NULL);
	if (partition < 0 || partition >= probe.npartitions)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("partition %d does not exist in topic \"%s\"", partition, call->topic),
				 errdetail_plural("The topic has %d partition.", "The topic has %d partitions.",
								  probe.npartitions, probe.npartitions)));

	set_options(call, RD_KAFKA_ADMIN_OP_DELETERECORDS);
	offsets = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(offsets, call->topic, partition)->offset = before;
	records = rd_kafka_DeleteRecords_new(offsets);
	rd_kafka_DeleteRecords(call->handle->rk, &records, 1, call->options, call->queue);
	rd_kafka_DeleteRecords_destroy(records);
	rd_kafka_topic_partition_list_destroy(offsets);

	await_answer(call);
	answer =
		rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(call->event));
	if (answer->cnt != 1)
		elog(ERROR, "%d results came for one partition", answer->cnt);
	err = answer->elems[0].err;
	low = answer->elems[0].offset;
	if (err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("offset " INT64_FORMAT " is beyond the end of topic \"%s\" partition %d",
						before, call->topic, partition)));
	if (err == RD_KAFKA_RESP_ERR_POLICY_VIOLATION)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg(call->failure, call->topic, call->server->name),
				 errdetail("The topic's cleanup.policy does not contain \"delete\".")));
	if (err)
		report_failure(call, err, NULL);
	end_call(call);
	PG_RETURN_INT64(low);
}
