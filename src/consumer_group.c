/*
 * consumer_group.c
 *		Offsets committed to a consumer group, for those who watch it.
 *
 * The group has no members: offsets are set as an administrator's tool sets them, by one request that
 * nobody waits for, and at most once a second. Nothing is ever read from the group, so a commit that
 * fails costs nothing but what Kafka's tools show meanwhile; the next one has all partitions again.
 *
 * Librdkafka looks for the group's coordinator before it asks. It goes on looking after the request's
 * time is over, and when it finds one then it releases the request a second time, which ends the
 * process (2.0.2 to 2.14: rd_kafka_admin_coord_request). So a request's time never ends there: we give
 * it up by ending the client that has made it.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "connection.h"
#include "consumer_group.h"
#include "text.h"

#define INTERVAL_MS 1000		/* between two commits ... */
#define PASSING_MS 200			/* ... after one that failed for a moment, as a new group's does
								 * ... */
#define PASSING_TRIES 10		/* ... which is no failure before it has so often ... */
#define RETRY_MS 5000			/* ... and after one that failed */
#define REQUEST_MS 10000		/* for an answer */
#define NEVER_MS (3600 * 1000)	/* what librdkafka admits at most */

struct KafkaGroup
{
	MemoryContext cxt;
	MemoryContextCallback callback;
	KafkaServer server;
	char	   *name;			/* in UTF-8 */
	char	   *topic;
	KafkaHandle *handle;
	rd_kafka_queue_t *queue;	/* where answers come */
	rd_kafka_topic_partition_list_t *offsets;	/* the last ones of each partition */
	bool		dirty;			/* they have not been sent */
	bool		waiting;		/* an answer is still to come ... */
	TimestampTz until;			/* ... and not waited for any longer */
	bool		hurry;			/* somebody waits for the last of them */
	int			npassing;		/* commits in a row that have failed for a moment */
	TimestampTz due;			/* not to send anything before */
	char	   *failure;		/* of the last commit; NULL: it went well */
};

static void
connect_group(KafkaGroup *group)
{
	group->handle = KafkaConnectionCheckout(&group->server, KAFKA_HANDLE_SMALL);
	group->queue = KafkaConnectionOpenAnswers(group->handle);
}

static void
disconnect_group(KafkaGroup *group)
{
	if (group->handle)
		KafkaConnectionCloseAnswers(group->handle, group->queue, group->waiting);
	group->queue = NULL;
	group->handle = NULL;
}

/* The context's callback. */
static void
release_group(void *arg)
{
	KafkaGroup *group = (KafkaGroup *) arg;

	if (group->offsets)
		rd_kafka_topic_partition_list_destroy(group->offsets);
	group->offsets = NULL;
	disconnect_group(group);
}

KafkaGroup *
KafkaGroupOpen(const KafkaServer *server, const char *group_name, const char *topic)
{
	KafkaGroup *group = palloc0(sizeof(KafkaGroup));
	const char *name = group_name;
	Size		len = strlen(group_name);

	group->cxt = CurrentMemoryContext;
	group->server = *server;
	KafkaTextEncode(PG_UTF8, &name, &len);
	group->name = pnstrdup(name, len);
	group->topic = pstrdup(topic);
	group->callback.func = release_group;
	group->callback.arg = group;
	MemoryContextRegisterResetCallback(group->cxt, &group->callback);
	connect_group(group);
	group->offsets = rd_kafka_topic_partition_list_new(1);
	return group;
}

void
KafkaGroupSet(KafkaGroup *group, int32 partition, int64 offset)
{
	rd_kafka_topic_partition_t *elem =
		rd_kafka_topic_partition_list_find(group->offsets, group->topic, partition);

	if (elem == NULL)
		elem = rd_kafka_topic_partition_list_add(group->offsets, group->topic, partition);
	else if (elem->offset == offset)
		return;
	elem->offset = offset;
	group->dirty = true;
}

static void
send_offsets(KafkaGroup *group)
{
	rd_kafka_AlterConsumerGroupOffsets_t *commit =
		rd_kafka_AlterConsumerGroupOffsets_new(group->name, group->offsets);
	rd_kafka_AdminOptions_t *options =
		rd_kafka_AdminOptions_new(group->handle->rk, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS);
	char		errstr[256];

	if (rd_kafka_AdminOptions_set_request_timeout(options, NEVER_MS, errstr, sizeof(errstr)))
		elog(ERROR, "could not set the timeout of a Kafka request: %s", errstr);
	rd_kafka_AlterConsumerGroupOffsets(group->handle->rk, &commit, 1, options, group->queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_AlterConsumerGroupOffsets_destroy(commit);
	group->dirty = false;
	group->waiting = true;
	group->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REQUEST_MS);
}

/* The error in an answer: of the request, the group, or one of the partitions. */
static rd_kafka_resp_err_t
answer_error(rd_kafka_event_t *event)
{
	const rd_kafka_group_result_t **results;
	const rd_kafka_topic_partition_list_t *partitions;
	size_t		n;

	if (rd_kafka_event_error(event))
		return rd_kafka_event_error(event);
	results = rd_kafka_AlterConsumerGroupOffsets_result_groups(rd_kafka_event_AlterConsumerGroupOffsets_result(event),
															   &n);
	if (n != 1)
		return RD_KAFKA_RESP_ERR__BAD_MSG;
	if (rd_kafka_group_result_error(results[0]))
		return rd_kafka_error_code(rd_kafka_group_result_error(results[0]));
	partitions = rd_kafka_group_result_partitions(results[0]);
	for (int i = 0; partitions && i < partitions->cnt; i++)
	{
		if (partitions->elems[i].err)
			return partitions->elems[i].err;
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* What a failure means; that an ACL refuses the group may show as a timeout. */
static char *
describe(KafkaGroup *group, rd_kafka_resp_err_t err)
{
	const char *hint = err == RD_KAFKA_RESP_ERR__TIMED_OUT ||
		err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
		? "An ACL may refuse it: committing needs READ on the group and on the topic."
		: err == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
		? "The group has members of its own: it cannot be used for a subscription as well."
		: NULL;
	char	   *cause = KafkaConnectionCause(group->handle, err, NULL);

	return hint ? psprintf("%s. %s", cause, hint) : psprintf("%s.", cause);
}

/* A commit is over: note how it went, and when the next one may be. */
static void
settle(KafkaGroup *group, rd_kafka_resp_err_t err)
{
	int64		pause = group->hurry ? 0 : INTERVAL_MS;

	group->dirty |= err != RD_KAFKA_RESP_ERR_NO_ERROR;
	group->npassing = KafkaConnectionErrorPasses(err) && err != RD_KAFKA_RESP_ERR__TIMED_OUT
		? group->npassing + 1 : 0;
	if (group->npassing > 0 && group->npassing < PASSING_TRIES)
		pause = PASSING_MS;
	else
	{
		if (group->failure)
			pfree(group->failure);
		group->failure = err ? MemoryContextStrdup(group->cxt, describe(group, err)) : NULL;
		if (err)
			pause = RETRY_MS;
	}
	group->due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause);
}

/* Wait no longer for an answer. */
static void
give_up(KafkaGroup *group)
{
	settle(group, RD_KAFKA_RESP_ERR__TIMED_OUT);
	disconnect_group(group);
	group->waiting = false;
	connect_group(group);
}

bool
KafkaGroupServe(KafkaGroup *group)
{
	bool		failed = group->failure != NULL;
	rd_kafka_event_t *event = rd_kafka_queue_poll(group->queue, 0);

	if (event)
	{
		rd_kafka_resp_err_t err = answer_error(event);

		rd_kafka_event_destroy(event);
		group->waiting = false;
		settle(group, err);
	}
	else if (group->waiting && group->until <= GetCurrentTimestamp())
		give_up(group);
	KafkaConnectionServe(group->handle);
	if (group->dirty && !group->waiting && group->due <= GetCurrentTimestamp())
		send_offsets(group);
	return failed != (group->failure != NULL);
}

const char *
KafkaGroupFailure(const KafkaGroup *group)
{
	return group->failure;
}

int64
KafkaGroupDue(const KafkaGroup *group)
{
	if (group->waiting)
		return group->failure ? INTERVAL_MS : PASSING_MS;
	if (!group->dirty)
		return -1;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), group->due) + 1;
}

bool
KafkaGroupFlush(KafkaGroup *group, int timeout_ms)
{
	TimestampTz ends = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);

	group->hurry = true;
	group->due = 0;
	for (;;)
	{
		int64		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), ends);

		(void) KafkaGroupServe(group);
		if (group->failure)
			return false;
		if (!group->dirty && !group->waiting)
			return true;
		if (left <= 0)
			return false;
		(void) KafkaConnectionWait(group->handle,
								   group->waiting ? left : Min(left, KafkaGroupDue(group)));
	}
}
