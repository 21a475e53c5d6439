/*
 * subscription.c
 *		The functions that make, change and end subscriptions, and the batch by hand.
 *
 * Who subscribes is the subscription's owner, and everything it does later is done as that role. Its
 * places in the topic are found as it is made, so that what cannot work fails at once, and "newest"
 * means the moment of subscribing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "consumer_group.h"
#include "resolve.h"
#include "setting.h"
#include "subscription_private.h"

#define MAX_BATCH_SIZE 10000000
#define MAX_BATCH_TIMEOUT 3600000	/* ms */
#define LETTERS_AT_ONCE 1000
#define GROUP_PATIENCE 5000		/* ms for a commit to a consumer group */

/* Arguments of kafka_subscribe. */
enum SubscribeArgument
{
	ARG_NAME,
	ARG_SOURCE,
	ARG_TARGET,
	ARG_COMMAND,
	ARG_START_OFFSET,
	ARG_MODE,
	ARG_KEY,
	ARG_ON_FAILURE,
	ARG_ON_DATA_LOSS,
	ARG_BATCH_SIZE,
	ARG_BATCH_TIMEOUT,
	ARG_WORKERS,
	ARG_GROUP
};

PG_FUNCTION_INFO_V1(kafka_subscribe);
PG_FUNCTION_INFO_V1(kafka_unsubscribe);
PG_FUNCTION_INFO_V1(kafka_pause);
PG_FUNCTION_INFO_V1(kafka_resume);
PG_FUNCTION_INFO_V1(kafka_seek);
PG_FUNCTION_INFO_V1(kafka_ingest);
PG_FUNCTION_INFO_V1(kafka_retry_dead_letters);

/* ------------------------------------------------------------------------
 * Arguments
 * ------------------------------------------------------------------------ */

static char *
required_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* A word out of two. */
static char *
word_argument(FunctionCallInfo fcinfo, int n, const char *name, const char *first,
			  const char *second)
{
	char	   *word = required_text(fcinfo, n, name);

	if (strcmp(word, first) != 0 && strcmp(word, second) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for %s: \"%s\"", name, word),
				 errhint("It is \"%s\" or \"%s\".", first, second)));
	return word;
}

/* The consumer group; NULL for none. */
static char *
group_argument(FunctionCallInfo fcinfo)
{
	char	   *group = PG_ARGISNULL(ARG_GROUP) ? NULL
		: text_to_cstring(PG_GETARG_TEXT_PP(ARG_GROUP));

	if (group && group[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("group must not be empty")));
	return group;
}

static int
batch_timeout_argument(FunctionCallInfo fcinfo)
{
	Interval   *interval;
	int64		ms;

	if (PG_ARGISNULL(ARG_BATCH_TIMEOUT))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("batch_timeout must not be null")));
	interval = PG_GETARG_INTERVAL_P(ARG_BATCH_TIMEOUT);
	ms = interval->time / 1000 + (int64) interval->day * SECS_PER_DAY * 1000;
	if (interval->month != 0 || ms < 0 || ms > MAX_BATCH_TIMEOUT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_timeout must be between 0 and 1 hour")));
	return (int) ms;
}

static int
integer_argument(FunctionCallInfo fcinfo, int n, const char *name, int low, int high)
{
	int			value = PG_ARGISNULL(n) ? low - 1 : PG_GETARG_INT32(n);

	if (value < low || value > high)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between %d and %d", name, low, high)));
	return value;
}

/*
 * The columns (of char *) that find the row of a message; by default those of the target's primary
 * key, which stay the key if that is altered.
 */
static List *
key_argument(FunctionCallInfo fcinfo, const KafkaSubscription *subscription)
{
	List	   *key;

	if (!subscription->upsert && !PG_ARGISNULL(ARG_KEY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key is for mode \"upsert\" alone")));
	if (!subscription->upsert)
		return NIL;
	if (subscription->command)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mode \"upsert\" needs a target, and not a command"),
				 errhint("A command can have ON CONFLICT of its own.")));
	if (PG_ARGISNULL(ARG_KEY))
		return NIL;
	key = kafka_subscription_key_list(PG_GETARG_DATUM(ARG_KEY));
	if (key == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("key must not be empty")));
	return key;
}

/* What is given to kafka_subscribe, but for the places; checks all that needs no network. */
static KafkaNewSubscription
subscribe_arguments(FunctionCallInfo fcinfo)
{
	KafkaNewSubscription new = {0};
	KafkaSubscription *subscription = &new.subscription;

	subscription->name = required_text(fcinfo, ARG_NAME, "name");
	if (subscription->name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("name must not be empty")));
	if (PG_ARGISNULL(ARG_SOURCE))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("source must not be null")));
	if (PG_ARGISNULL(ARG_TARGET) == PG_ARGISNULL(ARG_COMMAND))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a subscription needs a target or a command, and not both")));
	subscription->owner = GetUserId();
	subscription->source = PG_GETARG_OID(ARG_SOURCE);
	if (!PG_ARGISNULL(ARG_TARGET))
		subscription->target = PG_GETARG_OID(ARG_TARGET);
	else
		subscription->command = text_to_cstring(PG_GETARG_TEXT_PP(ARG_COMMAND));
	subscription->search_path = namespace_search_path;
	subscription->upsert = strcmp(word_argument(fcinfo, ARG_MODE, "mode", "append", "upsert"),
								  "upsert") == 0;
	subscription->key = key_argument(fcinfo, subscription);
	new.on_failure = word_argument(fcinfo, ARG_ON_FAILURE, "on_failure", "stop", "dead_letter");
	subscription->dead_letters = strcmp(new.on_failure, "dead_letter") == 0;
	new.on_data_loss = word_argument(fcinfo, ARG_ON_DATA_LOSS, "on_data_loss", "error", "warning");
	subscription->loss_is_error = strcmp(new.on_data_loss, "error") == 0;
	subscription->batch_size = integer_argument(fcinfo, ARG_BATCH_SIZE, "batch_size", 1,
												MAX_BATCH_SIZE);
	subscription->batch_timeout = batch_timeout_argument(fcinfo);
	subscription->workers = integer_argument(fcinfo, ARG_WORKERS, "workers", 0, 64);
	subscription->group = group_argument(fcinfo);
	return new;
}

/* ------------------------------------------------------------------------
 * Places
 * ------------------------------------------------------------------------ */

/*
 * Where a source's topic begins by a word such as start_offset has; NULL: the table's own. The places
 * of all partitions, ascending, in the current context.
 */
static KafkaPlace *
find_places(Oid source, Oid owner, const char *start, int *nplaces)
{
	KafkaTable *table = KafkaOptionGetTable(source, owner);
	KafkaRequest request = {0};
	KafkaConsumer *consumer;
	KafkaSnapshot *snapshot;
	KafkaRange *ranges;
	KafkaPlace *places;
	int			nranges;

	if (table->end_given)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("foreign table \"%s\" has the option \"%s\", and so cannot be subscribed to",
						get_rel_name(source), "end_offset")));
	KafkaOptionCheckTopic(table->server, table->topic);
	request.topic = table->topic;
	request.start = start ? KafkaOffsetParse(start, KAFKA_START_OFFSET) : table->start;
	request.end = table->end;
	request.tail = true;
	request.max_timestamp_skew = -1;
	request.now = kafka_timestamptz_to_ms(GetCurrentStatementStartTimestamp());
	request.boxes = KafkaRangeAll();
	request.sampled = true;
	consumer = KafkaConsumerOpen(table->server, table->topic, table->read_committed, false);
	snapshot = KafkaConsumerSnapshot(consumer);
	ranges = KafkaResolve(consumer, snapshot, &request, &nranges);
	KafkaConsumerClose(consumer);

	places = palloc0(Max(snapshot->npartitions, 1) * sizeof(KafkaPlace));
	for (int i = 0; i < snapshot->npartitions; i++)
	{
		places[i].partition = snapshot->partitions[i].partition;
		places[i].end = places[i].next = snapshot->partitions[i].end;
		for (int j = 0; j < nranges; j++)
		{
			if (ranges[j].partition == places[i].partition)
				places[i].next = ranges[j].start;
		}
		places[i].from = places[i].next;
		places[i].mark.offset = KAFKA_NO_MARK;
	}
	*nplaces = snapshot->npartitions;
	return places;
}

/*
 * Refuse places that the topic has not come to: whoever begins to read there would have to take it for
 * another topic, or one that has lost messages. What an open transaction hides does count.
 */
static void
check_places(Oid source, Oid owner, const KafkaPlace *places, int nplaces)
{
	for (int i = 0; i < nplaces; i++)
	{
		const KafkaPlace *place = &places[i];
		KafkaTable *table;
		int64		end = place->end;

		if (place->next <= end)
			continue;
		table = KafkaOptionGetTable(source, owner);
		if (table->read_committed)
			end = KafkaFetcherLogEnd(table, place->partition);
		if (place->next > end)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("offset " INT64_FORMAT " is beyond the end of topic \"%s\" partition %d",
							place->next, table->topic, place->partition),
					 errdetail("The partition ends at offset " INT64_FORMAT ".", end),
					 errhint("To have each partition begin elsewhere, name them, as in {\"0\": 100, \"1\": \"newest\"}.")));
	}
}

/* ------------------------------------------------------------------------
 * The functions
 * ------------------------------------------------------------------------ */

Datum
kafka_subscribe(PG_FUNCTION_ARGS)
{
	KafkaNewSubscription new;
	KafkaSubscription *subscription = &new.subscription;
	char	   *start = PG_ARGISNULL(ARG_START_OFFSET) ? NULL
		: text_to_cstring(PG_GETARG_TEXT_PP(ARG_START_OFFSET));
	int32		id;

	KafkaSettingCheckWrite("kafka_subscribe()");
	new = subscribe_arguments(fcinfo);
	if (kafka_subscription_find(subscription->name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("subscription \"%s\" already exists", subscription->name)));
	kafka_subscription_check(subscription);
	if (subscription->upsert && subscription->key == NIL)
		subscription->key = kafka_subscription_default_key(subscription->target);
	kafka_subscription_check_statement(subscription);
	subscription->places = find_places(subscription->source, subscription->owner, start,
									   &subscription->nplaces);
	check_places(subscription->source, subscription->owner, subscription->places,
				 subscription->nplaces);
	id = kafka_subscription_insert(&new);
	kafka_subscription_start_at_commit(id, subscription->name, subscription->workers);
	PG_RETURN_VOID();
}

/* The subscription that is the first argument, which the current user may do something with. */
static KafkaSubscription *
own_subscription(const char *name)
{
	KafkaSubscription *subscription = kafka_subscription_find(name);

	if (subscription == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("subscription \"%s\" does not exist", name)));
	if (!has_privs_of_role(GetUserId(), subscription->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of subscription \"%s\"", name)));
	return subscription;
}

/*
 * The same, locked: no batch is stored between this and the end of the transaction. While the lock was
 * waited for, another one may have got the name.
 */
static KafkaSubscription *
lock_own_subscription(const char *name)
{
	KafkaSubscription *subscription = own_subscription(name);
	int32		id;

	do
	{
		id = subscription->id;
		kafka_subscription_lock(id);
		subscription = own_subscription(name);
	} while (subscription->id != id);
	return subscription;
}

/* The same for a change of it, which the workers notice at the end of the transaction. */
static KafkaSubscription *
change_subscription(FunctionCallInfo fcinfo, const char *function)
{
	char	   *name = required_text(fcinfo, 0, "name");
	KafkaSubscription *subscription;

	KafkaSettingCheckWrite(function);
	subscription = lock_own_subscription(name);
	kafka_subscription_signal_at_commit(subscription->id);
	return subscription;
}

Datum
kafka_unsubscribe(PG_FUNCTION_ARGS)
{
	KafkaSubscription *subscription = change_subscription(fcinfo, "kafka_unsubscribe()");

	kafka_subscription_delete(subscription->id);
	PG_RETURN_VOID();
}

Datum
kafka_pause(PG_FUNCTION_ARGS)
{
	KafkaSubscription *subscription = change_subscription(fcinfo, "kafka_pause()");

	kafka_subscription_set_state(subscription->id, "paused");
	PG_RETURN_VOID();
}

pg_noreturn static void
fenced_error(const KafkaSubscription *subscription)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("subscription \"%s\" belongs to another copy of this database",
					subscription->name),
			 errdetail("The database was cloned or restored from a dump."),
			 errhint("Use kafka_adopt() where this copy is to go on in place of the other.")));
}

Datum
kafka_resume(PG_FUNCTION_ARGS)
{
	KafkaSubscription *subscription = change_subscription(fcinfo, "kafka_resume()");

	if (subscription->fenced)
		fenced_error(subscription);
	kafka_subscription_set_state(subscription->id, "running");
	kafka_subscription_forget_errors(subscription->id);
	kafka_subscription_start_at_commit(subscription->id, subscription->name,
									   subscription->workers);
	PG_RETURN_VOID();
}

Datum
kafka_seek(PG_FUNCTION_ARGS)
{
	KafkaSubscription *subscription = change_subscription(fcinfo, "kafka_seek()");
	char	   *start = required_text(fcinfo, 1, "start_offset");
	KafkaPlace *places;
	int			nplaces;
	bool		all = PG_ARGISNULL(2);

	kafka_subscription_check(subscription);
	places = find_places(subscription->source, subscription->owner, start, &nplaces);
	if (!all)
	{
		int32		partition = PG_GETARG_INT32(2);
		int			i = 0;

		while (i < nplaces && places[i].partition != partition)
			i++;
		if (i == nplaces)
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("partition %d does not exist in the topic of subscription \"%s\"",
							partition, subscription->name)));
		places = &places[i];
		nplaces = 1;
	}
	check_places(subscription->source, subscription->owner, places, nplaces);
	kafka_subscription_seek(subscription->id, places, nplaces, all);
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * By hand
 * ------------------------------------------------------------------------ */

/*
 * What is stored is committed to the group as well. A failure there is no reason to take back what was
 * stored. In a transaction block nothing is committed yet; the next batch takes care of it.
 */
static void
commit_to_group(const KafkaSubscription *subscription, KafkaFetcher *fetcher)
{
	const KafkaTable *table = KafkaFetcherTable(fetcher);
	KafkaGroup *group = KafkaGroupOpen(table->server, subscription->group, table->topic);
	const KafkaPlace *places;
	int			nplaces;

	KafkaFetcherAdvance(fetcher);
	places = KafkaFetcherPlaces(fetcher, &nplaces);
	for (int i = 0; i < nplaces; i++)
		KafkaGroupSet(group, places[i].partition, places[i].next);
	if (!KafkaGroupFlush(group, Min(table->server->metadata_timeout, GROUP_PATIENCE)))
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("could not commit offsets of subscription \"%s\" to consumer group \"%s\"",
						subscription->name, subscription->group),
				 KafkaGroupFailure(group) ? errdetail_internal("%s", KafkaGroupFailure(group))
				 : errdetail("There was no answer in time.")));
}

/*
 * Refuse what a batch of the source itself calls: its command, or a trigger. Each would begin another one,
 * for as long as there are descriptors.
 */
static void
check_not_under_way(const KafkaSubscription *subscription)
{
	if (KafkaIngestBatchShown(subscription->source))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a batch of foreign table \"%s\" is under way in this session",
						get_rel_name(subscription->source))));
}

/* Who called, and is to be himself again once the batch has been committed as its owner. */
typedef struct Caller
{
	Oid			userid;
	int			context;
	int			guc_level;		/* of what the owner's code sets; 0 where it may */
} Caller;

/*
 * Note who calls, and protect his session from the owner's code where the owner could not be the caller by
 * SET ROLE: what it sets is taken back, and it makes no temporary tables, as where logical replication
 * applies a change for another role. Such an operation has no deferred triggers, so they fire at once; what
 * the caller's own statements have put off, before.
 */
static void
note_caller(const KafkaSubscription *subscription, Caller *caller)
{
	GetUserIdAndSecContext(&caller->userid, &caller->context);
	caller->guc_level = 0;
	if (kafka_member_can_set_role(subscription->owner, caller->userid))
		return;
	kafka_subscription_fire_deferred();
	caller->guc_level = NewGUCNestLevel();
	SetUserIdAndSecContext(caller->userid, caller->context | SECURITY_RESTRICTED_OPERATION);
}

/* Settings go before the transaction's own level does, and after the last trigger has run. */
static void
return_to_caller(XactEvent event, void *arg)
{
	const Caller *caller = arg;

	if (event == XACT_EVENT_PRE_COMMIT && caller->guc_level > 0)
		AtEOXact_GUC(false, caller->guc_level);
	else if (event == XACT_EVENT_COMMIT)
		SetUserIdAndSecContext(caller->userid, caller->context);
}

/*
 * Commit as the owner, and be the caller again before SPI begins the next transaction: a transaction
 * that is rolled back returns to whoever began it.
 */
static void
commit_as_owner(Caller *caller)
{
	RegisterXactCallback(return_to_caller, caller);
	PG_TRY();
	{
		SPI_commit();
	}
	PG_FINALLY();
	{
		UnregisterXactCallback(return_to_caller, caller);
	}
	PG_END_TRY();
}

/* Fetch a batch and store it; what is shown to its statement lives as long as the transaction. */
static void
ingest(KafkaSubscription *subscription, MemoryContext cxt, bool own)
{
	KafkaFetcher *fetcher = KafkaFetcherOpen(CurrentMemoryContext, subscription->source,
											 subscription->owner, subscription->dead_letters,
											 false, NULL);
	KafkaIngestBatch *batch = KafkaIngestBatchCreate(cxt);
	KafkaIngestLimits limits = kafka_subscription_limits(subscription, 0);
	Caller		caller;

	KafkaFetcherStart(fetcher, subscription->places, subscription->nplaces,
					  subscription->loss_is_error);
	kafka_subscription_note_unverified(subscription, fetcher);
	KafkaFetcherFetch(fetcher, &limits, batch);
	if (own)
		note_caller(subscription, &caller);
	PG_TRY();
	{
		KafkaIngestBatchShow(batch, subscription->source);
		(void) kafka_subscription_store_batch(subscription, fetcher, batch, own);
		if (own)
			commit_as_owner(&caller);
	}
	PG_FINALLY();
	{
		KafkaIngestBatchHide(batch);
	}
	PG_END_TRY();
	if (own)
		KafkaIngestBatchFree(batch);
	if (own && subscription->group)
		commit_to_group(subscription, fetcher);
	KafkaFetcherClose(fetcher);
}

/*
 * Where it can, the batch has a transaction of its own: it is committed as its owner, as a worker
 * does. In a transaction block what the owner's triggers put off until the commit would run as
 * whoever commits, so there only the owner may do this.
 */
Datum
kafka_ingest(PG_FUNCTION_ARGS)
{
	bool		own = fcinfo->context && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic;
	char	   *name = required_text(fcinfo, 0, "name");
	KafkaSubscription *subscription;

	KafkaSettingCheckWrite("kafka_ingest()");
	SPI_connect_ext(own ? SPI_OPT_NONATOMIC : 0);
	subscription = lock_own_subscription(name);
	if (!own && subscription->owner != GetUserId())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("kafka_ingest() cannot run in a transaction block for another role's subscription"),
				 errhint("Call it outside of a transaction block, or as role \"%s\".",
						 GetUserNameFromId(subscription->owner, false))));
	if (subscription->fenced)
		fenced_error(subscription);
	kafka_subscription_check(subscription);
	check_not_under_way(subscription);
	ResetPlanCache();			/* there may be a plan that several processes share */
	ingest(subscription, own ? CurrentMemoryContext : TopTransactionContext, own);
	SPI_finish();
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Dead letters
 * ------------------------------------------------------------------------ */

/* Try each of them; the number of those that could be stored, which are forgotten. */
static int64
retry_letters(const KafkaSubscription *subscription, const KafkaTable *table,
			  KafkaIngestBatch *batch, List *letters)
{
	int64		nstored = 0;

	for (int i = 0; i < list_length(letters); i++)
	{
		int64		letter = *(int64 *) list_nth(letters, i);
		int64		rows;
		char	   *reason;

		CHECK_FOR_INTERRUPTS();
		KafkaIngestBatchNarrow(batch, i, 1);
		reason = kafka_subscription_try_rows(subscription, table, batch, &rows);
		if (reason)
			kafka_subscription_note_letter(letter, reason);
		else
		{
			kafka_subscription_unbury(letter);
			nstored++;
		}
	}
	return nstored;
}

/*
 * Store the dead letters of a subscription, one by one and oldest first, in the caller's transaction.
 * What fails again stays, with the new reason.
 */
Datum
kafka_retry_dead_letters(PG_FUNCTION_ARGS)
{
	char	   *name = required_text(fcinfo, 0, "name");
	KafkaSubscription *subscription;
	KafkaIngestBatch *batch;
	KafkaTable *table;
	KafkaOwnerState state;
	int64		nstored = 0;
	int64		after = 0;
	List	   *letters;

	KafkaSettingCheckWrite("kafka_retry_dead_letters()");
	subscription = lock_own_subscription(name);
	if (subscription->owner != GetUserId())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("dead letters of subscription \"%s\" can only be tried again by its owner",
						name),
				 errhint("Use SET ROLE.")));
	if (subscription->upsert)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("dead letters of subscription \"%s\" cannot be tried again, as its mode is \"upsert\"",
						name),
				 errdetail("Later messages of their keys may have been stored since."),
				 errhint("Use kafka_seek() to have the subscription read its topic again from the letter's offset on, and delete the letter.")));
	kafka_subscription_check(subscription);
	check_not_under_way(subscription);
	ResetPlanCache();
	table = KafkaOptionGetTable(subscription->source, subscription->owner);
	batch = KafkaIngestBatchCreate(TopTransactionContext);
	state = kafka_subscription_enter_owner(subscription, false);
	PG_TRY();
	{
		KafkaIngestBatchShow(batch, subscription->source);
		while ((letters = kafka_subscription_letters(subscription, after, LETTERS_AT_ONCE,
													 batch)) != NIL)
		{
			nstored += retry_letters(subscription, table, batch, letters);
			after = *(int64 *) llast(letters);
			KafkaIngestBatchReset(batch);
		}
	}
	PG_FINALLY();
	{
		KafkaIngestBatchHide(batch);
	}
	PG_END_TRY();
	kafka_subscription_leave_owner(&state);
	PG_RETURN_INT64(nstored);
}
