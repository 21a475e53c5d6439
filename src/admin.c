/*
 * admin.c
 *		Looking at a cluster and changing it: what all functions of this kind have in common.
 *
 * A function sends one or a few requests and waits for their answers. Those of librdkafka's admin
 * interface come into a queue of the call's own, which is tied to the handle's descriptor, so that
 * the wait is the one wait; what has only a blocking form is done by a thread (admin_lookup.c). All
 * of it together takes no longer than the server's metadata_timeout.
 *
 * Files: admin_look.c has topics, partitions and brokers, admin_group.c consumer groups,
 * admin_config.c the settings of topics, admin_topic.c what changes topics.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "admin_private.h"
#include "consumer.h"
#include "setting.h"

#define MAX_REQUEST_MS (3600 * 1000)	/* librdkafka's own limit */
#define RETRY_MS 20

/* Give back what requests have left behind, but for the queue. */
static void
release_answers(AdminCall *call)
{
	for (int i = 0; i < call->nevents; i++)
	{
		if (call->events[i])
			rd_kafka_event_destroy(call->events[i]);
	}
	call->nevents = 0;
	if (call->options)
		rd_kafka_AdminOptions_destroy(call->options);
	call->options = NULL;
}

/* Give the handle back. */
static void
release_handle(AdminCall *call)
{
	release_answers(call);
	if (call->handle)
		KafkaConnectionCloseAnswers(call->handle, call->queue, call->waiting);
	call->queue = NULL;
	call->handle = NULL;
	call->waiting = false;
}

/*
 * What was asked for is not taken back when the caller is interrupted, who would think that it is. A
 * cluster that was never reached, and so has no controller, was asked for nothing.
 */
static void
interrupted_context(void *arg)
{
	AdminCall  *call = (AdminCall *) arg;

	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_OPERATOR_INTERVENTION)
		return;
	if (call->change == ADMIN_MADE)
		errcontext("waiting for Kafka server \"%s\" to show a change that it has made",
				   call->server->name);
	else if (call->change == ADMIN_ASKED && call->handle &&
			 rd_kafka_controllerid(call->handle->rk, 0) >= 0)
		errcontext("changing Kafka server \"%s\", which may carry the change out all the same",
				   call->server->name);
}

/* The context's callback, on success and on error. */
static void
release_call(void *arg)
{
	AdminCall  *call = (AdminCall *) arg;

	release_handle(call);
	if (call->metadata)
		rd_kafka_metadata_destroy(call->metadata);
	if (call->offsets)
		rd_kafka_topic_partition_list_destroy(call->offsets);
	call->metadata = NULL;
	call->offsets = NULL;
}

void
kafka_admin_require(FunctionCallInfo fcinfo, const AdminFunction *function, int n,
					const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" of %s must not be null", name, function->name)));
}

char *
kafka_admin_utf8(const char *data, Size len)
{
	KafkaTextEncode(PG_UTF8, &data, &len);
	return pnstrdup(data, len);
}

/* The first argument, where the function has such a one, and it was given. */
static char *
object_argument(FunctionCallInfo fcinfo, const AdminFunction *function)
{
	text	   *name;

	if (function->object == ADMIN_CLUSTER || (function->object == ADMIN_TOPICS && PG_ARGISNULL(0)))
		return NULL;
	kafka_admin_require(fcinfo, function, 0, function->object == ADMIN_GROUP ? "group" : "topic");
	name = PG_GETARG_TEXT_PP(0);
	if (function->object == ADMIN_GROUP)
		return kafka_admin_utf8(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	return text_to_cstring(name);
}

AdminCall *
kafka_admin_begin(FunctionCallInfo fcinfo, const AdminFunction *function)
{
	AdminCall  *call;
	char	   *object;
	Oid			serverid;
	MemoryContext cxt;
	MemoryContext old;

	if (function->changes)
		KafkaSettingCheckWrite(function->name);
	else
		KafkaSettingCheckRead();
	object = object_argument(fcinfo, function);
	serverid =
		KafkaOptionChooseServer(PG_ARGISNULL(function->server_arg) ? NULL
								: NameStr(*PG_GETARG_NAME(function->server_arg)), GetUserId());

	/* All that look return rows, and none that change something does. */
	if (!function->changes)
		InitMaterializedSRF(fcinfo, 0);

	cxt = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw admin", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	call = palloc0(sizeof(AdminCall));
	call->cxt = cxt;
	call->attempt_cxt = AllocSetContextCreate(cxt, "kafka_fdw admin attempt",
											  ALLOCSET_DEFAULT_SIZES);
	call->row_cxt = AllocSetContextCreate(cxt, "kafka_fdw admin row", ALLOCSET_SMALL_SIZES);
	call->function = function;
	call->result = (ReturnSetInfo *) fcinfo->resultinfo;
	call->server = KafkaOptionGetServer(serverid, GetUserId());
	call->object = object ? pstrdup(object) : NULL;
	if (object && function->object != ADMIN_GROUP)
		KafkaOptionCheckTopic(call->server, object);
	call->failure = object
		? psprintf(function->failure,
				   function->object == ADMIN_GROUP ? text_to_cstring(PG_GETARG_TEXT_PP(0)) : object,
				   call->server->name)
		: psprintf(function->failure, call->server->name);
	KafkaTextInit(&call->text, PG_UTF8, KAFKA_INVALID_ESCAPE);
	call->callback.func = release_call;
	call->callback.arg = call;
	MemoryContextRegisterResetCallback(cxt, &call->callback);
	MemoryContextSwitchTo(old);
	return call;
}

void
kafka_admin_open(AdminCall *call, bool read_committed)
{
	if (call->ends == 0)
	{
		call->ends = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												 call->server->metadata_timeout);
		call->deadline = KafkaConnectionDeadline(call->server->metadata_timeout);
	}
	release_handle(call);
	call->server->read_committed = read_committed;
	call->handle = KafkaConnectionCheckout(call->server, KAFKA_HANDLE_SMALL);
	call->queue = KafkaConnectionOpenAnswers(call->handle);
}

void
kafka_admin_end(AdminCall *call)
{
	if (call->change != ADMIN_NOT_ASKED)
		error_context_stack = call->context.previous;
	MemoryContextDelete(call->cxt);
}

int
kafka_admin_time_left(const AdminCall *call)
{
	TimestampTz now = GetCurrentTimestamp();

	return call->ends > now ? (int) ((call->ends - now) / 1000) : 0;
}

bool
kafka_admin_retry(AdminCall *call, rd_kafka_resp_err_t err)
{
	int			left = kafka_admin_time_left(call);

	if (!KafkaConnectionErrorPasses(err) || left <= RETRY_MS)
		return false;
	(void) KafkaConnectionWait(call->handle, RETRY_MS);
	return true;
}

/* True for requests that say how long the cluster may take to carry them out. */
static bool
has_operation_timeout(rd_kafka_admin_op_t op)
{
	return op == RD_KAFKA_ADMIN_OP_CREATETOPICS || op == RD_KAFKA_ADMIN_OP_DELETETOPICS ||
		op == RD_KAFKA_ADMIN_OP_CREATEPARTITIONS || op == RD_KAFKA_ADMIN_OP_DELETERECORDS;
}

void
kafka_admin_prepare(AdminCall *call, rd_kafka_admin_op_t op, int timeout_ms)
{
	int			timeout = timeout_ms > 0 ? timeout_ms : Max(kafka_admin_time_left(call), 1);
	char		errstr[256];

	timeout = Min(timeout, MAX_REQUEST_MS);
	release_answers(call);
	call->options = rd_kafka_AdminOptions_new(call->handle->rk, op);
	if (rd_kafka_AdminOptions_set_request_timeout(call->options, timeout, errstr,
												  sizeof(errstr)) ||
		(has_operation_timeout(op) &&
		 rd_kafka_AdminOptions_set_operation_timeout(call->options, timeout, errstr,
													 sizeof(errstr))))
		elog(ERROR, "could not set the timeouts of a Kafka request: %s", errstr);
	if (call->function->changes && call->change == ADMIN_NOT_ASKED &&
		op != RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS)
	{
		call->change = ADMIN_ASKED;
		call->context.callback = interrupted_context;
		call->context.arg = call;
		call->context.previous = error_context_stack;
		error_context_stack = &call->context;
	}
}

void
kafka_admin_to_broker(AdminCall *call, int32 broker)
{
	char		errstr[256];

	if (rd_kafka_AdminOptions_set_broker(call->options, broker, errstr, sizeof(errstr)))
		elog(ERROR, "could not set the broker of a Kafka request: %s", errstr);
	rd_kafka_AdminOptions_set_opaque(call->options, (void *) (intptr_t) broker);
}

int32
kafka_admin_from_broker(rd_kafka_event_t *event)
{
	return (int32) (intptr_t) rd_kafka_event_opaque(event);
}

void
kafka_admin_await(AdminCall *call, int nrequests)
{
	KafkaHandle *handle = call->handle;

	call->waiting = true;
	call->events = MemoryContextAllocZero(call->cxt, nrequests * sizeof(rd_kafka_event_t *));
	while (call->nevents < nrequests)
	{
		rd_kafka_event_t *event = rd_kafka_queue_poll(call->queue, 0);

		if (event)
		{
			call->events[call->nevents++] = event;
			continue;
		}
		if (handle->fatal_err)
			kafka_admin_report(call, handle->fatal_err, NULL);
		(void) KafkaConnectionWait(handle, -1);
	}
	call->waiting = false;
	KafkaConnectionServe(handle);
}

rd_kafka_event_t *
kafka_admin_answer(AdminCall *call)
{
	kafka_admin_await(call, 1);
	if (rd_kafka_event_error(call->events[0]))
		kafka_admin_report(call, rd_kafka_event_error(call->events[0]),
						   rd_kafka_event_error_string(call->events[0]));
	if (call->change == ADMIN_ASKED)
		call->change = ADMIN_MADE;
	return call->events[0];
}

/*
 * True where a request may have been carried out although it failed. Librdkafka does not tell a
 * request that was never sent from one whose answer did not come.
 */
static bool
outcome_unknown(const AdminCall *call, rd_kafka_resp_err_t err)
{
	return call->function->changes &&
		(err == RD_KAFKA_RESP_ERR__TIMED_OUT || err == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT ||
		 err == RD_KAFKA_RESP_ERR__TRANSPORT || (int) err == KAFKA_ERR_BROKER_LEFT);
}

/*
 * Raise that no broker could be reached, where that is what a failure means: a request needs to know
 * a controller, and before the first metadata came there is none.
 */
static void
report_unreached(AdminCall *call, rd_kafka_resp_err_t err)
{
	KafkaHandle *handle = call->handle;
	const char *hint;

	if (err != RD_KAFKA_RESP_ERR__TRANSPORT && err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN &&
		err != RD_KAFKA_RESP_ERR__TIMED_OUT)
		return;
	if (rd_kafka_controllerid(handle->rk, 0) >= 0 &&
		(call->function->changes || err == RD_KAFKA_RESP_ERR__TIMED_OUT))
		return;

	if (handle->broker_err != RD_KAFKA_RESP_ERR_NO_ERROR)
		err = handle->broker_err;
	if (KafkaConnectionSqlState(err) == ERRCODE_CONNECTION_FAILURE)
		err = RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
	hint = KafkaConnectionHint(err);
	/* A new one says again why that is; this one would only try on. */
	handle->stale = true;
	ereport(ERROR,
			(errcode(KafkaConnectionSqlState(err)),
			 errmsg_internal("%s", call->failure),
			 handle->broker_errstr[0]
			 ? errdetail_internal("%s.", handle->broker_errstr)
			 : errdetail("No broker answered within %d ms.", call->server->metadata_timeout),
			 hint ? errhint("%s", hint) : 0));
}

void
kafka_admin_report(AdminCall *call, rd_kafka_resp_err_t err, const char *errstr)
{
	const char *hint;
	char	   *cause;
	bool		is_topic = call->object && call->function->object != ADMIN_GROUP;

	/* The error says what became of a change. */
	call->change = ADMIN_NOT_ASKED;
	KafkaConnectionServe(call->handle);
	report_unreached(call, err);
	cause = KafkaConnectionCause(call->handle, err, errstr);
	hint = KafkaConnectionHint(err);
	if (is_topic && (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
					 err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC))
	{
		release_handle(call);
		KafkaConsumerUnknownTopic(call->server, call->object);
	}
	if (err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("topic \"%s\" already exists on Kafka server \"%s\"", call->object,
						call->server->name)));
	if (err == RD_KAFKA_RESP_ERR_POLICY_VIOLATION)
		hint = NULL;			/* not an ACL; the detail has the policy's own words */
	ereport(ERROR,
			(errcode(KafkaConnectionSqlState(err)),
			 errmsg_internal("%s", call->failure),
			 outcome_unknown(call, err)
			 ? errdetail("%s. The cluster may carry the change out all the same.", cause)
			 : errdetail_internal("%s.", cause),
			 hint ? errhint("%s", hint) : 0));
}

void
kafka_admin_warn_unseen(AdminCall *call)
{
	ereport(WARNING,
			(errmsg("topic \"%s\" of Kafka server \"%s\" does not show the change yet", call->object,
					call->server->name),
			 errdetail("The cluster has accepted it, but it did not take effect within %d ms.",
					   call->server->metadata_timeout)));
}

Datum
kafka_admin_text(AdminCall *call, const char *string, bool *isnull)
{
	MemoryContext old;
	Size		len;
	Datum		result;

	*isnull = string == NULL;
	if (string == NULL)
		return (Datum) 0;
	len = strlen(string);
	old = MemoryContextSwitchTo(call->row_cxt);
	(void) KafkaTextDecode(&call->text, &string, &len);
	result = PointerGetDatum(cstring_to_text_with_len(string, (int) len));
	MemoryContextSwitchTo(old);
	return result;
}

void
kafka_admin_row(AdminCall *call, Datum *values, bool *nulls)
{
	tuplestore_putvalues(call->result->setResult, call->result->setDesc, values, nulls);
	MemoryContextReset(call->row_cxt);
}
