/*
 * admin_lookup.c
 *		Metadata of the cluster and offsets of its partitions, for the functions that look at it.
 *
 * librdkafka has these calls in a blocking form only. So each is a function for KafkaConnectionCall,
 * which may use nothing but librdkafka and libc, and may be begun again; its arguments and results
 * are in a malloc'd struct that either side can free. See consumer_lookup.c for those of a scan,
 * which is about one topic.
 */
#include "postgres.h"

#include <stdlib.h>

#include "admin_private.h"

/*
 * Partitions of one request. librdkafka finds each answer by searching the whole list, so the time
 * for one request grows with the square of their number.
 */
#define OFFSETS_AT_ONCE 1000

#define NAME_MS 500				/* how long to look for the partition of an error */

/* One look-up: what is asked, and what came back. */
typedef struct AdminLookup
{
	KafkaDeadline deadline;
	char		topic[256];		/* "": all */
	rd_kafka_resp_err_t err;
	const rd_kafka_metadata_t *metadata;
	rd_kafka_topic_partition_list_t *offsets;
	int64		time;			/* what offsets are asked for */
} AdminLookup;

static AdminLookup *
make_lookup(const AdminCall *call, const char *topic)
{
	AdminLookup *lookup = calloc(1, sizeof(AdminLookup));

	if (lookup == NULL)
		return NULL;
	lookup->deadline = call->deadline;
	strlcpy(lookup->topic, topic ? topic : "", sizeof(lookup->topic));
	return lookup;
}

static void
free_lookup(void *arg)
{
	AdminLookup *lookup = (AdminLookup *) arg;

	if (lookup->metadata)
		rd_kafka_metadata_destroy(lookup->metadata);
	if (lookup->offsets)
		rd_kafka_topic_partition_list_destroy(lookup->offsets);
	free(lookup);
}

pg_noreturn static void
out_of_memory(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/*
 * Ask a broker for metadata once. The topic's object is made and destroyed here, so a call that was
 * abandoned leaves nothing that the handle would trip over.
 */
static void
ask_metadata(rd_kafka_t *rk, AdminLookup *lookup)
{
	rd_kafka_topic_t *rkt = NULL;

	if (lookup->topic[0])
	{
		rkt = rd_kafka_topic_new(rk, lookup->topic, NULL);
		if (rkt == NULL)
		{
			lookup->err = rd_kafka_last_error();
			return;
		}
	}
	lookup->err = rd_kafka_metadata(rk, rkt == NULL, rkt, &lookup->metadata,
									KafkaConnectionSlice(&lookup->deadline));
	if (rkt)
		rd_kafka_topic_destroy(rkt);
}

/* Run by KafkaConnectionCall. */
static void
look(rd_kafka_t *rk, void *arg)
{
	AdminLookup *lookup = (AdminLookup *) arg;

	do
	{
		ask_metadata(rk, lookup);
	} while (lookup->err && KafkaConnectionErrorPasses(lookup->err) &&
			 KafkaConnectionRetry(&lookup->deadline));
}

rd_kafka_resp_err_t
kafka_admin_look(AdminCall *call, const char *topic)
{
	AdminLookup *lookup;
	rd_kafka_resp_err_t err;

	if (call->metadata)
		rd_kafka_metadata_destroy(call->metadata);
	call->metadata = NULL;
	lookup = make_lookup(call, topic);
	if (lookup == NULL)
		out_of_memory();
	KafkaConnectionCall(call->handle, look, lookup, free_lookup);
	call->metadata = lookup->metadata;
	lookup->metadata = NULL;
	err = lookup->err;
	free_lookup(lookup);
	return err;
}

rd_kafka_resp_err_t
kafka_admin_look_at_topic(AdminCall *call)
{
	rd_kafka_resp_err_t err = kafka_admin_look(call, call->object);

	if (err)
		return err;
	return call->metadata->topic_cnt == 1 ? call->metadata->topics[0].err
		: RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

/* ListOffsets for a part of the list, whose elements take the answers and their errors. */
static rd_kafka_resp_err_t
ask_some_offsets(rd_kafka_t *rk, AdminLookup *lookup, int first, int n)
{
	rd_kafka_topic_partition_list_t *ask = rd_kafka_topic_partition_list_new(n);
	rd_kafka_resp_err_t err;

	for (int i = first; i < first + n; i++)
	{
		const rd_kafka_topic_partition_t *elem = &lookup->offsets->elems[i];

		rd_kafka_topic_partition_list_add(ask, elem->topic, elem->partition)->offset =
			lookup->time;
	}
	err = rd_kafka_offsets_for_times(rk, ask, KafkaConnectionSlice(&lookup->deadline));
	/* None of them has a leader, which each of them says itself. */
	if (err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
		err = RD_KAFKA_RESP_ERR_NO_ERROR;
	for (int i = 0; i < n && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
	{
		lookup->offsets->elems[first + i].offset = ask->elems[i].offset;
		lookup->offsets->elems[first + i].err = ask->elems[i].err;
	}
	rd_kafka_topic_partition_list_destroy(ask);
	return err;
}

/* Ask for all of the list once; true where newer metadata may help. */
static bool
ask_offsets(rd_kafka_t *rk, AdminLookup *lookup)
{
	int			total = lookup->offsets->cnt;

	lookup->err = RD_KAFKA_RESP_ERR_NO_ERROR;
	for (int i = 0; i < total && lookup->err == RD_KAFKA_RESP_ERR_NO_ERROR; i += OFFSETS_AT_ONCE)
		lookup->err = ask_some_offsets(rk, lookup, i, Min(total - i, OFFSETS_AT_ONCE));
	if (lookup->err)
		return KafkaConnectionErrorPasses(lookup->err) ||
			lookup->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	for (int i = 0; i < total; i++)
	{
		if (lookup->offsets->elems[i].err)
			return true;
	}
	return false;
}

/*
 * Find out which partition an error of the broker's is about: librdkafka only says that there is one
 * among those asked for. So each is asked for alone, as long as that is quick.
 */
static void
name_partition(rd_kafka_t *rk, AdminLookup *lookup)
{
	KafkaDeadline deadline = KafkaConnectionDeadline(NAME_MS);
	rd_kafka_resp_err_t err = lookup->err;

	for (int i = 0; i < lookup->offsets->cnt && KafkaConnectionSlice(&deadline) > 1; i++)
	{
		if (ask_some_offsets(rk, lookup, i, 1) == err)
		{
			lookup->offsets->elems[i].err = err;
			return;
		}
	}
}

/* Run by KafkaConnectionCall. */
static void
look_up_offsets(rd_kafka_t *rk, void *arg)
{
	AdminLookup *lookup = (AdminLookup *) arg;

	if (ask_offsets(rk, lookup) && KafkaConnectionRetry(&lookup->deadline))
	{
		ask_metadata(rk, lookup);
		if (lookup->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			(void) ask_offsets(rk, lookup);
	}
	/* A leader that does not know its partition: that has just been made, or is being deleted. */
	if (lookup->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		lookup->err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
	/* Errors below zero are librdkafka's own, about the connection as a rule. */
	if (lookup->err > 0 && !KafkaConnectionErrorPasses(lookup->err) &&
		!KafkaConnectionNeedsThread())
		name_partition(rk, lookup);
}

rd_kafka_resp_err_t
kafka_admin_offsets(AdminCall *call, rd_kafka_topic_partition_list_t *list, int64 time)
{
	AdminLookup *lookup = make_lookup(call, call->function->object == ADMIN_GROUP ? NULL
									  : call->object);
	rd_kafka_resp_err_t err;

	if (call->offsets)
		rd_kafka_topic_partition_list_destroy(call->offsets);
	call->offsets = NULL;
	if (lookup == NULL)
	{
		rd_kafka_topic_partition_list_destroy(list);
		out_of_memory();
	}
	lookup->offsets = list;
	lookup->time = time;
	KafkaConnectionCall(call->handle, look_up_offsets, lookup, free_lookup);
	call->offsets = lookup->offsets;
	lookup->offsets = NULL;
	err = lookup->err;
	free_lookup(lookup);
	return err;
}

void
kafka_admin_report_offsets(AdminCall *call, rd_kafka_resp_err_t err)
{
	for (int i = 0; err > 0 && call->offsets && i < call->offsets->cnt; i++)
	{
		const rd_kafka_topic_partition_t *elem = &call->offsets->elems[i];

		if (elem->err == err)
			kafka_admin_report(call, err, psprintf("topic \"%s\" partition %d: %s", elem->topic,
												   (int) elem->partition, rd_kafka_err2str(err)));
	}
	kafka_admin_report(call, err, NULL);
}
