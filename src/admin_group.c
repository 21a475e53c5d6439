/*
 * admin_group.c
 *		Consumer groups, and how far each has come.
 *
 * The brokers are asked which groups they coordinate, and each is asked about its own. librdkafka
 * could look a group's coordinator up by itself; but that makes Kafka create the topic of committed
 * offsets in a cluster that has none yet, and where an ACL refuses the group, librdkafka 2.0.2 asks
 * again until the time is over and never says why.
 *
 * Groups of the protocol that came with Kafka 4 are listed as others are, but a librdkafka that does
 * not know it is told that they are dead. So what a list says of a group counts for more.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "admin_private.h"

/* A group. Its strings belong to the call, its description to the call's events. */
typedef struct ConsumerGroup
{
	char	   *name;			/* in UTF-8 */
	int32		coordinator;
	bool		is_simple;		/* it stores offsets, and never had members */
	rd_kafka_consumer_group_state_t state;	/* as listed */
	const		rd_kafka_ConsumerGroupDescription_t *description;	/* NULL: not to be had */
} ConsumerGroup;

typedef struct GroupList
{
	ConsumerGroup *groups;		/* ascending by name */
	int			ngroups;
	int			maxgroups;		/* allocated */
} GroupList;

/* How far a group has come in a partition. Strings belong to the call's events. */
typedef struct LagRow
{
	const char *topic;
	int32		partition;
	int64		current_offset;
	int64		log_end_offset;
	const		rd_kafka_MemberDescription_t *member;	/* who reads it; NULL: nobody */
} LagRow;

typedef struct LagRows
{
	LagRow	   *rows;
	int			nrows;
	int			maxrows;		/* allocated */
} LagRows;

#define UNKNOWN_OFFSET (-1)

static const AdminFunction groups_function = {
	"kafka_groups()", ADMIN_CLUSTER, 0, false,
	"could not list the consumer groups of Kafka server \"%s\""
};

static const AdminFunction group_lag = {
	"kafka_group_lag()", ADMIN_GROUP, 1, false,
	"could not look up the offsets of consumer group \"%s\" on Kafka server \"%s\""
};

PG_FUNCTION_INFO_V1(kafka_groups);
PG_FUNCTION_INFO_V1(kafka_group_lag);

/*----------------------------------------------------------------------
 * Which groups there are
 *----------------------------------------------------------------------
 */

static int
compare_groups(const void *a, const void *b)
{
	return strcmp(((const ConsumerGroup *) a)->name, ((const ConsumerGroup *) b)->name);
}

static ConsumerGroup *
find_group(const GroupList *list, const char *name)
{
	ConsumerGroup key = {0};

	key.name = unconstify(char *, name);
	return list->ngroups == 0 ? NULL
		: bsearch(&key, list->groups, list->ngroups, sizeof(ConsumerGroup), compare_groups);
}

/* Add the groups that a broker has listed; the first error that it had. */
static rd_kafka_resp_err_t
collect_groups(AdminCall *call, rd_kafka_event_t *event, GroupList *list)
{
	const		rd_kafka_ListConsumerGroups_result_t *result;
	const		rd_kafka_ConsumerGroupListing_t **listings;
	const rd_kafka_error_t **errors;
	size_t		n;

	if (rd_kafka_event_error(event))
		return rd_kafka_event_error(event);
	result = rd_kafka_event_ListConsumerGroups_result(event);
	errors = rd_kafka_ListConsumerGroups_result_errors(result, &n);
	if (n > 0)
		return rd_kafka_error_code(errors[0]);
	listings = rd_kafka_ListConsumerGroups_result_valid(result, &n);
	for (size_t i = 0; i < n; i++)
	{
		ConsumerGroup *group;

		if (list->ngroups == list->maxgroups)
		{
			list->maxgroups = Max(2 * list->maxgroups, 64);
			list->groups = list->groups == NULL
				? MemoryContextAlloc(call->attempt_cxt, list->maxgroups * sizeof(ConsumerGroup))
				: repalloc_huge(list->groups, list->maxgroups * sizeof(ConsumerGroup));
		}
		group = &list->groups[list->ngroups++];
		group->name = MemoryContextStrdup(call->attempt_cxt,
										  rd_kafka_ConsumerGroupListing_group_id(listings[i]));
		group->coordinator = kafka_admin_from_broker(event);
		group->is_simple = rd_kafka_ConsumerGroupListing_is_simple_consumer_group(listings[i]);
		group->state = rd_kafka_ConsumerGroupListing_state(listings[i]);
		group->description = NULL;
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Put the groups into their order. One that has just moved may have been listed twice. */
static void
sort_groups(GroupList *list)
{
	int			n = 0;

	if (list->ngroups == 0)
		return;
	qsort(list->groups, list->ngroups, sizeof(ConsumerGroup), compare_groups);
	for (int i = 1; i < list->ngroups; i++)
	{
		if (compare_groups(&list->groups[n], &list->groups[i]) != 0)
			list->groups[++n] = list->groups[i];
	}
	list->ngroups = n + 1;
}

/*
 * Ask every broker that is up which groups it coordinates. The list has what came, also where there
 * is an error.
 */
static rd_kafka_resp_err_t
list_groups(AdminCall *call, GroupList *list)
{
	rd_kafka_resp_err_t err = kafka_admin_look(call, ADMIN_NO_TOPIC);
	int			nbrokers;

	MemoryContextReset(call->attempt_cxt);
	list->groups = NULL;
	list->ngroups = list->maxgroups = 0;
	if (err)
		return err;
	nbrokers = call->metadata->broker_cnt;
	kafka_admin_prepare(call, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS,
						KafkaConnectionSlice(&call->deadline));
	for (int i = 0; i < nbrokers; i++)
	{
		kafka_admin_to_broker(call, call->metadata->brokers[i].id);
		rd_kafka_ListConsumerGroups(call->handle->rk, call->options, call->queue);
	}
	kafka_admin_await(call, nbrokers);
	for (int i = 0; i < nbrokers; i++)
	{
		rd_kafka_resp_err_t broker_err = collect_groups(call, call->events[i], list);

		if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
			err = broker_err;
	}
	sort_groups(list);
	return err;
}

/*----------------------------------------------------------------------
 * What is in them
 *----------------------------------------------------------------------
 */

/*
 * A group's own error, as far as it is one of the call: where librdkafka could not make anything of
 * a group (one of its members has assigned the partitions in a way of its own), the group is shown
 * without what is in it.
 */
static rd_kafka_resp_err_t
description_error(const rd_kafka_ConsumerGroupDescription_t * description)
{
	const rd_kafka_error_t *error = rd_kafka_ConsumerGroupDescription_error(description);
	rd_kafka_resp_err_t err = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;

	return err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED || KafkaConnectionErrorPasses(err)
		? err : RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The description of a group in an answer; NULL where there is none that says anything. */
static const rd_kafka_ConsumerGroupDescription_t *
usable_description(const ConsumerGroup *group, const rd_kafka_ConsumerGroupDescription_t * description)
{
	if (rd_kafka_ConsumerGroupDescription_error(description))
		return NULL;
	if (rd_kafka_ConsumerGroupDescription_state(description) == RD_KAFKA_CONSUMER_GROUP_STATE_DEAD &&
		group->state != RD_KAFKA_CONSUMER_GROUP_STATE_DEAD)
		return NULL;
	return description;
}

/* Give groups the descriptions that came in an answer; the first error. */
static rd_kafka_resp_err_t
collect_descriptions(rd_kafka_event_t *event, GroupList *list)
{
	const		rd_kafka_ConsumerGroupDescription_t **descriptions;
	size_t		n;

	if (rd_kafka_event_error(event))
		return rd_kafka_event_error(event);
	descriptions =
		rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event),
													  &n);
	for (size_t i = 0; i < n; i++)
	{
		rd_kafka_resp_err_t err = description_error(descriptions[i]);
		ConsumerGroup *group =
			find_group(list, rd_kafka_ConsumerGroupDescription_group_id(descriptions[i]));

		if (err)
			return err;
		if (group)
			group->description = usable_description(group, descriptions[i]);
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Ask each broker about the groups that it coordinates, all of them at once. */
static rd_kafka_resp_err_t
describe_groups(AdminCall *call, GroupList *list)
{
	const char **names;
	int			nrequests = 0;

	names = MemoryContextAllocHuge(call->attempt_cxt, (list->ngroups + 1) * sizeof(char *));
	kafka_admin_prepare(call, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
						KafkaConnectionSlice(&call->deadline));
	for (int i = 0; i < call->metadata->broker_cnt; i++)
	{
		int32		broker = call->metadata->brokers[i].id;
		int			n = 0;

		for (int j = 0; j < list->ngroups; j++)
		{
			if (list->groups[j].coordinator == broker)
				names[n++] = list->groups[j].name;
		}
		if (n == 0)
			continue;
		kafka_admin_to_broker(call, broker);
		rd_kafka_DescribeConsumerGroups(call->handle->rk, names, n, call->options, call->queue);
		nrequests++;
	}
	kafka_admin_await(call, nrequests);
	for (int i = 0; i < nrequests; i++)
	{
		rd_kafka_resp_err_t err = collect_descriptions(call->events[i], list);

		if (err)
			return err;
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* A string that says nothing where it is empty. */
static const char *
not_empty(const char *string)
{
	return string && string[0] ? string : NULL;
}

/* True where the group's members are known: one that is listed as empty has none. */
static bool
knows_members(const ConsumerGroup *group)
{
	return group->description != NULL || group->state == RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY;
}

/* The row of kafka_groups. */
static void
put_group(AdminCall *call, const ConsumerGroup *group)
{
	const		rd_kafka_ConsumerGroupDescription_t *description = group->description;
	rd_kafka_consumer_group_state_t state = description
		? rd_kafka_ConsumerGroupDescription_state(description) : group->state;
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = kafka_admin_text(call, group->name, &nulls[0]);
	values[1] = kafka_admin_text(call, rd_kafka_consumer_group_state_name(state), &nulls[1]);
	values[2] = kafka_admin_text(call, group->is_simple ? NULL : "consumer", &nulls[2]);
	values[3] = kafka_admin_text(call, description
								 ? not_empty(rd_kafka_ConsumerGroupDescription_partition_assignor(description))
								 : NULL, &nulls[3]);
	nulls[4] = !knows_members(group);
	values[4] = Int32GetDatum(description
							  ? (int32) rd_kafka_ConsumerGroupDescription_member_count(description) : 0);
	values[5] = Int32GetDatum(group->coordinator);
	kafka_admin_row(call, values, nulls);
}

/* The cluster's consumer groups. */
Datum
kafka_groups(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, &groups_function);
	GroupList	list = {NULL, 0, 0};
	rd_kafka_resp_err_t err;

	kafka_admin_open(call, call->server->read_committed);
	do
	{
		err = list_groups(call, &list);
		if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
			err = describe_groups(call, &list);
	} while (err && kafka_admin_retry(call, err));
	if (err)
		kafka_admin_report(call, err, NULL);
	for (int i = 0; i < list.ngroups; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_group(call, &list.groups[i]);
	}
	kafka_admin_end(call);
	return (Datum) 0;
}

/*----------------------------------------------------------------------
 * How far a group has come
 *----------------------------------------------------------------------
 */

static int
compare_positions(const void *a, const void *b)
{
	const LagRow *x = (const LagRow *) a;
	const LagRow *y = (const LagRow *) b;

	if (strcmp(x->topic, y->topic) != 0)
		return strcmp(x->topic, y->topic);
	return (x->partition > y->partition) - (x->partition < y->partition);
}

static int
compare_rows(const void *a, const void *b)
{
	const LagRow *x = (const LagRow *) a;
	const LagRow *y = (const LagRow *) b;
	int			result = compare_positions(a, b);

	if (result != 0 || x->member == NULL || y->member == NULL)
		return result;
	return strcmp(rd_kafka_MemberDescription_consumer_id(x->member),
				  rd_kafka_MemberDescription_consumer_id(y->member));
}

static void
add_row(AdminCall *call, LagRows *lag, const char *topic, int32 partition, int64 offset,
		const rd_kafka_MemberDescription_t * member)
{
	LagRow	   *row;

	if (!KafkaOptionTopicAllowed(call->server, topic))
		return;
	if (lag->nrows == lag->maxrows)
	{
		lag->maxrows = Max(2 * lag->maxrows, 64);
		lag->rows = lag->rows == NULL
			? MemoryContextAlloc(call->cxt, lag->maxrows * sizeof(LagRow))
			: repalloc_huge(lag->rows, lag->maxrows * sizeof(LagRow));
	}
	row = &lag->rows[lag->nrows++];
	row->topic = topic;
	row->partition = partition;
	row->current_offset = offset;
	row->log_end_offset = UNKNOWN_OFFSET;
	row->member = member;
}

/* The partitions that members read. */
static void
add_members(AdminCall *call, LagRows *lag,
			const rd_kafka_ConsumerGroupDescription_t * description)
{
	size_t		nmembers = rd_kafka_ConsumerGroupDescription_member_count(description);

	for (size_t i = 0; i < nmembers; i++)
	{
		const		rd_kafka_MemberDescription_t *member =
			rd_kafka_ConsumerGroupDescription_member(description, i);
		const		rd_kafka_MemberAssignment_t *assignment =
			rd_kafka_MemberDescription_assignment(member);
		const rd_kafka_topic_partition_list_t *partitions =
			assignment ? rd_kafka_MemberAssignment_partitions(assignment) : NULL;

		for (int j = 0; partitions && j < partitions->cnt; j++)
			add_row(call, lag, partitions->elems[j].topic, partitions->elems[j].partition,
					UNKNOWN_OFFSET, member);
	}
}

/* The committed offsets: of partitions that members read, and of others. */
static void
add_offsets(AdminCall *call, LagRows *lag, const rd_kafka_topic_partition_list_t *offsets)
{
	int			nassigned = lag->nrows;

	if (nassigned > 0)
		qsort(lag->rows, nassigned, sizeof(LagRow), compare_positions);
	for (int i = 0; offsets && i < offsets->cnt; i++)
	{
		const rd_kafka_topic_partition_t *elem = &offsets->elems[i];
		LagRow		key = {elem->topic, elem->partition, 0, 0, NULL};
		LagRow	   *found = NULL;

		if (elem->offset < 0)
			continue;
		if (nassigned > 0)
			found = bsearch(&key, lag->rows, nassigned, sizeof(LagRow), compare_positions);
		if (found == NULL)
		{
			add_row(call, lag, elem->topic, elem->partition, elem->offset, NULL);
			continue;
		}
		/* Two members may have it for a moment. */
		while (found > lag->rows && compare_positions(found - 1, &key) == 0)
			found--;
		for (; found < lag->rows + nassigned && compare_positions(found, &key) == 0; found++)
			found->current_offset = elem->offset;
	}
	if (lag->nrows > 0)
		qsort(lag->rows, lag->nrows, sizeof(LagRow), compare_rows);
}

/* Ask the coordinator for the group's members and offsets; the events stay until all is shown. */
static rd_kafka_resp_err_t
describe_lag(AdminCall *call, ConsumerGroup *group, LagRows *lag)
{
	rd_kafka_ListConsumerGroupOffsets_t *ask;
	const char *name = call->object;
	const rd_kafka_topic_partition_list_t *offsets = NULL;

	kafka_admin_prepare(call, RD_KAFKA_ADMIN_OP_ANY, KafkaConnectionSlice(&call->deadline));
	kafka_admin_to_broker(call, group->coordinator);
	rd_kafka_DescribeConsumerGroups(call->handle->rk, &name, 1, call->options, call->queue);
	ask = rd_kafka_ListConsumerGroupOffsets_new(name, NULL);
	rd_kafka_ListConsumerGroupOffsets(call->handle->rk, &ask, 1, call->options, call->queue);
	rd_kafka_ListConsumerGroupOffsets_destroy(ask);
	kafka_admin_await(call, 2);
	for (int i = 0; i < 2; i++)
	{
		rd_kafka_event_t *event = call->events[i];
		GroupList	one = {group, 1, 1};
		rd_kafka_resp_err_t err = rd_kafka_event_error(event);

		if (err == RD_KAFKA_RESP_ERR_NO_ERROR &&
			rd_kafka_event_type(event) == RD_KAFKA_EVENT_DESCRIBECONSUMERGROUPS_RESULT)
			err = collect_descriptions(event, &one);
		else if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			size_t		n;
			const rd_kafka_group_result_t **results =
				rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result(event),
																&n);

			if (n != 1)
				elog(ERROR, "%zu results came for one consumer group", n);
			if (rd_kafka_group_result_error(results[0]))
				err = rd_kafka_error_code(rd_kafka_group_result_error(results[0]));
			offsets = rd_kafka_group_result_partitions(results[0]);
		}
		if (err)
			return err;
	}
	lag->nrows = 0;
	if (group->description)
		add_members(call, lag, group->description);
	add_offsets(call, lag, offsets);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Look up the ends of the partitions; where that of one cannot be had, its row goes without. */
static rd_kafka_resp_err_t
look_up_ends(AdminCall *call, LagRows *lag)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(lag->nrows);
	rd_kafka_resp_err_t err;
	int			n = -1;

	for (int i = 0; i < lag->nrows; i++)
	{
		if (i == 0 || compare_positions(&lag->rows[i - 1], &lag->rows[i]) != 0)
			rd_kafka_topic_partition_list_add(list, lag->rows[i].topic, lag->rows[i].partition);
	}
	if (list->cnt == 0)
	{
		rd_kafka_topic_partition_list_destroy(list);
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	}
	err = kafka_admin_offsets(call, list, ADMIN_LATEST);
	if (err)
		return err;
	for (int i = 0; i < lag->nrows; i++)
	{
		if (i == 0 || compare_positions(&lag->rows[i - 1], &lag->rows[i]) != 0)
			n++;
		if (call->offsets->elems[n].err == RD_KAFKA_RESP_ERR_NO_ERROR)
			lag->rows[i].log_end_offset = call->offsets->elems[n].offset;
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/*
 * ERROR for a group that no broker lists. An ACL keeps a group out of the lists as well, which the
 * broker says only when it is asked about the group.
 */
pg_noreturn static void
report_no_group(AdminCall *call, const GroupList *list)
{
	const char *name = call->object;
	const		rd_kafka_ConsumerGroupDescription_t **descriptions;
	size_t		n;
	List	   *candidates = NIL;
	const char *nearest;
	char	   *wanted;
	bool		isnull;

	kafka_admin_prepare(call, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, 0);
	kafka_admin_to_broker(call, call->metadata->brokers[0].id);
	rd_kafka_DescribeConsumerGroups(call->handle->rk, &name, 1, call->options, call->queue);
	descriptions =
		rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(kafka_admin_answer(call)),
													  &n);
	if (n == 1 &&
		description_error(descriptions[0]) == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
		kafka_admin_report(call, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, NULL);

	for (int i = 0; i < list->ngroups; i++)
		candidates = lappend(candidates,
							 TextDatumGetCString(kafka_admin_text(call, list->groups[i].name,
																  &isnull)));
	wanted = TextDatumGetCString(kafka_admin_text(call, name, &isnull));
	nearest = KafkaOptionNearest(wanted, candidates);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("consumer group \"%s\" does not exist on Kafka server \"%s\"", wanted,
					call->server->name),
			 nearest ? errhint("Perhaps you meant the group \"%s\".", nearest) : 0));
}

/* The row of kafka_group_lag. */
static void
put_lag(AdminCall *call, const LagRow *row)
{
	const		rd_kafka_MemberDescription_t *member = row->member;
	Datum		values[9];
	bool		nulls[9] = {false};

	values[0] = kafka_admin_text(call, call->object, &nulls[0]);
	values[1] = kafka_admin_text(call, row->topic, &nulls[1]);
	values[2] = Int32GetDatum(row->partition);
	nulls[3] = row->current_offset == UNKNOWN_OFFSET;
	values[3] = Int64GetDatum(row->current_offset);
	nulls[4] = row->log_end_offset == UNKNOWN_OFFSET;
	values[4] = Int64GetDatum(row->log_end_offset);
	nulls[5] = nulls[3] || nulls[4];
	values[5] = Int64GetDatum(row->log_end_offset - row->current_offset);
	values[6] = kafka_admin_text(call, member ? rd_kafka_MemberDescription_consumer_id(member) : NULL,
								 &nulls[6]);
	values[7] = kafka_admin_text(call, member ? rd_kafka_MemberDescription_host(member) : NULL,
								 &nulls[7]);
	values[8] = kafka_admin_text(call, member ? rd_kafka_MemberDescription_client_id(member) : NULL,
								 &nulls[8]);
	kafka_admin_row(call, values, nulls);
}

/*
 * How far a consumer group has come: a row for each partition that one of its members reads, or for
 * which it has committed an offset. Kafka's own tool counts up to the high watermark, and so does
 * this, whatever the server's isolation level is.
 */
Datum
kafka_group_lag(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, &group_lag);
	GroupList	list = {NULL, 0, 0};
	LagRows		lag = {NULL, 0, 0};
	ConsumerGroup *group;
	rd_kafka_resp_err_t err;

	kafka_admin_open(call, false);
	do
	{
		err = list_groups(call, &list);
		group = find_group(&list, call->object);
		/* Another broker's failure is of no account once the group is found. */
		if (group)
			err = describe_lag(call, group, &lag);
		if (group && err == RD_KAFKA_RESP_ERR_NO_ERROR)
			err = look_up_ends(call, &lag);
	} while (err && kafka_admin_retry(call, err));
	if (err)
		kafka_admin_report_offsets(call, err);
	if (group == NULL)
		report_no_group(call, &list);
	if (!knows_members(group))
		ereport(WARNING,
				(errmsg("the members of consumer group \"%s\" are not shown",
						text_to_cstring(PG_GETARG_TEXT_PP(0))),
				 errdetail("librdkafka %s cannot describe the group; what it has committed is shown.",
						   rd_kafka_version_str())));
	for (int i = 0; i < lag.nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_lag(call, &lag.rows[i]);
	}
	kafka_admin_end(call);
	return (Datum) 0;
}
