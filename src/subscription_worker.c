/*
 * subscription_worker.c
 *		A background worker of a subscription: batch after batch, from Kafka into the database.
 *
 * It waits for messages outside of transactions. What it has fetched it stores in one transaction
 * together with the next offsets, so a crash anywhere loses or repeats nothing: the offsets in the
 * catalogue say what to fetch next. Each such transaction first takes a lock and reads the catalogue
 * anew. So whoever pauses a subscription, sends it elsewhere, or takes a batch by hand, holding that
 * lock, knows that the worker does nothing in between. Several workers share the lock, as they share
 * nothing else: each has its own partitions, with their offsets, and its own row in the catalogue.
 *
 * Errors that may pass are tried again after a pause that grows; others stop the subscription until
 * somebody resumes it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "commands/extension.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "compat.h"
#include "consumer_group.h"
#include "setting.h"
#include "subscription_private.h"
#include "worker.h"

#define FIRST_PAUSE 500			/* ms after a failure; doubled up to the last */
#define LAST_PAUSE 30000
#define NAP 5000				/* ms to wait for a message before the catalogue is looked at
								 * again */
#define LOOK_INTERVAL 10000		/* ms between looks at the topic's partitions and their ends */
#define LAST_COMMIT 5000		/* ms for the group's offsets when there is nothing to do any more */
#define LOCK_TRIES 20			/* for the lock of a worker that is ending ... */
#define LOCK_NAP 50				/* ... ms between them */

/* What a cycle is doing: what an error in it means. */
typedef enum Phase
{
	PHASE_LOAD,					/* reading the catalogue, looking at objects and rights */
	PHASE_FETCH,				/* talking to Kafka */
	PHASE_STORE					/* in the batch's transaction */
} Phase;

typedef struct Worker
{
	int32		id;
	int			number;			/* among the workers of the subscription */
	Phase		phase;
	MemoryContext load_context; /* of the subscription, until it is read anew */
	MemoryContext fetch_context;	/* of the fetcher */
	MemoryContext cycle_context;
	KafkaSubscription *subscription;
	KafkaFetcher *fetcher;		/* NULL: not connected */
	KafkaGroup *group;			/* the same, and NULL where the subscription has none */
	KafkaIngestBatch *batch;
	TimestampTz looked_at;
	bool		failing;		/* the catalogue says that it is being tried again */
	bool		reload;			/* look at the catalogue before the next batch is fetched */
} Worker;

PGDLLEXPORT void kafka_subscription_main(Datum arg);

/* ------------------------------------------------------------------------
 * Transactions
 * ------------------------------------------------------------------------ */

static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (StatementTimeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, StatementTimeout);
}

static void
commit_transaction(Worker *worker)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	CommitTransactionCommand();
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, 0);
	pgstat_report_stat(false);
	MemoryContextSwitchTo(worker->cycle_context);
}

/* ------------------------------------------------------------------------
 * Beginning and ending
 * ------------------------------------------------------------------------ */

static bool
take_running_lock(int32 id, int number, int tries)
{
	LOCKTAG		tag;
	bool		taken = false;

	KafkaWorkerSubscriptionLockTag(&tag, id, number, KAFKA_SUBSCRIPTION_RUNNING);
	for (int i = 0; i < tries && !taken; i++)
	{
		if (i > 0)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOCK_NAP,
							 PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
		StartTransactionCommand();
		taken = LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
		CommitTransactionCommand();
	}
	return taken;
}

static void
drop_running_lock(int32 id, int number)
{
	LOCKTAG		tag;

	KafkaWorkerSubscriptionLockTag(&tag, id, number, KAFKA_SUBSCRIPTION_RUNNING);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

/*
 * The subscription as the catalogue has it, with the places of this worker alone, in the current
 * context; NULL where it is gone. "again": there is a fetcher, whose places are most likely to be found where
 * they were.
 */
static KafkaSubscription *
read_catalogue(const Worker *worker, bool again)
{
	KafkaSubscription *subscription;
	int			nplaces;
	int			n = 0;

	if (!OidIsValid(get_extension_oid("kafka_fdw", true)))
		return NULL;
	if (again)
	{
		const KafkaPlace *places = KafkaFetcherPlaces(worker->fetcher, &nplaces);

		subscription = kafka_subscription_get_located(worker->id, places, nplaces);
	}
	else
		subscription = kafka_subscription_get(worker->id);
	if (subscription == NULL || worker->number >= subscription->workers)
		return NULL;
	for (int i = 0; i < subscription->nplaces; i++)
	{
		if (subscription->places[i].partition % subscription->workers == worker->number)
			subscription->places[n++] = subscription->places[i];
	}
	subscription->nplaces = n;
	return subscription;
}

/* Holding the lock, be the process that the catalogue has for this worker. */
static void
enter(Worker *worker)
{
	KafkaSubscription *subscription;

	StartTransactionCommand();
	MemoryContextSwitchTo(worker->cycle_context);
	subscription = read_catalogue(worker, false);
	if (kafka_subscription_is_wanted(subscription))
	{
		char	   *name = psprintf("kafka_fdw subscription %s", subscription->name);

		if (subscription->workers > 1)
			name = psprintf("%s %d/%d", name, worker->number + 1, subscription->workers);
		worker->failing = kafka_subscription_enter(worker->id, worker->number);
		SetConfigOption("application_name", name, PGC_SUSET, PGC_S_OVERRIDE);
	}
	CommitTransactionCommand();
}

/*
 * There is nothing to do any more. Who resumes the subscription now starts a worker, which ends if
 * it cannot get the lock: so let go of it, and look once more. Where this worker goes on after all,
 * another one may have come and gone in between, and have left the catalogue without a process.
 */
static void
end_unless_wanted(Worker *worker)
{
	KafkaSubscription *subscription;

	drop_running_lock(worker->id, worker->number);
	StartTransactionCommand();
	MemoryContextSwitchTo(worker->cycle_context);
	subscription = read_catalogue(worker, false);
	if (!kafka_subscription_is_wanted(subscription))
	{
		if (subscription && !subscription->fenced && !RecoveryInProgress())
			kafka_subscription_leave(worker->id, worker->number);
		CommitTransactionCommand();
		proc_exit(0);
	}
	CommitTransactionCommand();
	if (!take_running_lock(worker->id, worker->number, LOCK_TRIES))
		proc_exit(0);
	enter(worker);
}

/* ------------------------------------------------------------------------
 * A cycle
 * ------------------------------------------------------------------------ */

static bool
is_woken(void)
{
	return ConfigReloadPending;
}

static void
disconnect(Worker *worker)
{
	worker->fetcher = NULL;
	worker->group = NULL;
	MemoryContextReset(worker->fetch_context);
}

/* The same where nothing is wrong: the group is to know the last offsets that were stored. */
static void
take_leave(Worker *worker)
{
	if (worker->group)
		(void) KafkaGroupFlush(worker->group, LAST_COMMIT);
	disconnect(worker);
}

/* Have a fetcher for the worker's share, and, where there is one, the consumer group. */
static void
open_fetcher(Worker *worker)
{
	const KafkaSubscription *subscription = worker->subscription;
	MemoryContext old;

	worker->fetcher = KafkaFetcherOpen(worker->fetch_context, subscription->source,
									   subscription->owner, subscription->dead_letters, true,
									   is_woken);
	KafkaFetcherShare(worker->fetcher, worker->number, subscription->workers);
	if (subscription->group)
	{
		const KafkaTable *table = KafkaFetcherTable(worker->fetcher);

		old = MemoryContextSwitchTo(worker->fetch_context);
		worker->group = KafkaGroupOpen(table->server, subscription->group, table->topic);
		MemoryContextSwitchTo(old);
	}
}

/* Have the group know the offsets that are stored. */
static void
tell_group(Worker *worker)
{
	int			nplaces;
	const KafkaPlace *places = KafkaFetcherPlaces(worker->fetcher, &nplaces);

	for (int i = 0; worker->group && i < nplaces; i++)
	{
		if (places[i].stored)
			KafkaGroupSet(worker->group, places[i].partition, places[i].next);
	}
}

/* Reading begins: note where it could not be told whether the log is the same as before. */
static void
note_start(Worker *worker)
{
	tell_group(worker);
	worker->phase = PHASE_LOAD;
	begin_transaction();
	MemoryContextSwitchTo(worker->cycle_context);
	kafka_subscription_lock_shared(worker->id);
	kafka_subscription_note_unverified(worker->subscription, worker->fetcher);
	commit_transaction(worker);
}

/* Commit offsets to the group where it is time for that. What fails there is noted, and no more. */
static void
serve_group(Worker *worker)
{
	const char *failure;
	char	   *text = NULL;

	if (worker->group == NULL || !KafkaGroupServe(worker->group))
		return;
	failure = KafkaGroupFailure(worker->group);
	begin_transaction();
	MemoryContextSwitchTo(worker->cycle_context);
	if (failure)
	{
		text = psprintf("could not commit offsets to consumer group \"%s\" (%s)",
						worker->subscription->group, failure);
		ereport(LOG,
				(errmsg("could not commit offsets of subscription \"%s\" to consumer group \"%s\"",
						worker->subscription->name, worker->subscription->group),
				 errdetail_internal("%s", failure)));
	}
	kafka_subscription_note_group(worker->id, worker->number, text);
	commit_transaction(worker);
}

/* Read the catalogue, and, where the subscription is to run, have a fetcher that fits it. */
static void
load(Worker *worker)
{
	bool		fits;
	bool		start = false;

	worker->phase = PHASE_LOAD;
	begin_transaction();
	MemoryContextReset(worker->load_context);
	MemoryContextSwitchTo(worker->load_context);
	worker->subscription = read_catalogue(worker, false);
	if (kafka_subscription_is_wanted(worker->subscription))
	{
		kafka_subscription_check(worker->subscription);
		fits = worker->fetcher != NULL && !KafkaFetcherIsStale(worker->fetcher) &&
			kafka_subscription_agrees(worker->subscription, worker->fetcher);
		if (!fits)
			disconnect(worker);
		worker->phase = PHASE_FETCH;
		if (!fits)
			open_fetcher(worker);
		start = !fits;
	}
	commit_transaction(worker);
	worker->reload = false;
	if (start)
	{
		KafkaFetcherStart(worker->fetcher, worker->subscription->places,
						  worker->subscription->nplaces, worker->subscription->loss_is_error);
		worker->looked_at = GetCurrentTimestamp();
		note_start(worker);
	}
}

/* Look at the topic: are there new partitions, and how far behind are we? */
static void
look_at_topic(Worker *worker)
{
	KafkaSubscription *now;
	bool		same;

	KafkaIngestBatchReset(worker->batch);	/* it is stored */
	worker->phase = PHASE_FETCH;
	same = KafkaFetcherLook(worker->fetcher);
	worker->looked_at = GetCurrentTimestamp();
	if (!same)
	{
		take_leave(worker);
		worker->reload = true;
		return;
	}

	/* What moved without messages: transaction markers, or partitions that are new. */
	worker->phase = PHASE_STORE;
	begin_transaction();
	MemoryContextSwitchTo(worker->cycle_context);
	kafka_subscription_lock_shared(worker->id);
	now = read_catalogue(worker, true);
	worker->reload = !kafka_subscription_is_wanted(now) || !kafka_subscription_agrees(now, worker->fetcher);
	if (!worker->reload)
	{
		kafka_subscription_advance(worker->id, worker->fetcher, worker->batch, 0);
		kafka_subscription_store_ends(worker->id, worker->fetcher);
		kafka_subscription_look_after(now, worker->number);
	}
	commit_transaction(worker);
	if (!worker->reload)
	{
		KafkaFetcherAdvance(worker->fetcher);
		tell_group(worker);
	}
}

/* Store what was fetched, unless the catalogue says by now that it is not wanted. */
static void
store(Worker *worker)
{
	KafkaSubscription *now;

	worker->phase = PHASE_STORE;
	pgstat_report_activity(STATE_RUNNING, psprintf("storing %d messages of subscription \"%s\"",
												   KafkaIngestBatchCount(worker->batch),
												   worker->subscription->name));
	begin_transaction();
	MemoryContextSwitchTo(worker->cycle_context);
	kafka_subscription_lock_shared(worker->id);
	now = read_catalogue(worker, true);
	worker->reload = !kafka_subscription_is_wanted(now) || !kafka_subscription_agrees(now, worker->fetcher) ||
		KafkaFetcherIsStale(worker->fetcher);
	if (!worker->reload)
	{
		KafkaIngestBatchShow(worker->batch, now->source);
		(void) kafka_subscription_store_batch(now, worker->fetcher, worker->batch, true);
		if (worker->failing)
			kafka_subscription_note_retry(worker->id, worker->number, NULL, NULL);
	}
	commit_transaction(worker);
	KafkaIngestBatchHide(worker->batch);
	if (worker->reload)
		take_leave(worker);
	else
	{
		worker->failing = false;
		KafkaFetcherAdvance(worker->fetcher);
		tell_group(worker);
	}
	pgstat_report_activity(STATE_IDLE, NULL);
}

static void
nap(int64 ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* The next batch. Of several workers one may have no partition, as long as the topic has so few. */
static void
fetch(Worker *worker)
{
	KafkaIngestLimits limits;
	int64		due = worker->group ? KafkaGroupDue(worker->group) : -1;
	int			wait = due < 0 ? NAP : (int) Min(due, NAP);
	int			nplaces;

	(void) KafkaFetcherPlaces(worker->fetcher, &nplaces);
	if (nplaces == 0)
	{
		nap(wait);
		return;
	}
	limits = kafka_subscription_limits(worker->subscription, wait);
	KafkaFetcherFetch(worker->fetcher, &limits, worker->batch);
}

static void
cycle(Worker *worker)
{
	MemoryContextSwitchTo(worker->cycle_context);
	MemoryContextReset(worker->cycle_context);
	KafkaIngestBatchReset(worker->batch);
	if (worker->reload || worker->fetcher == NULL)
	{
		load(worker);
		if (!kafka_subscription_is_wanted(worker->subscription))
		{
			take_leave(worker);
			end_unless_wanted(worker);
			worker->reload = true;
			return;
		}
	}
	worker->phase = PHASE_FETCH;
	fetch(worker);
	if (KafkaIngestBatchCount(worker->batch) > 0)
		store(worker);
	else
	{
		/*
		 * Kafka answers again; what could not be stored was not tried again, as there is nothing.
		 * Who was woken cannot tell.
		 */
		worker->reload = true;
		if (worker->failing && !is_woken())
		{
			begin_transaction();
			kafka_subscription_note_retry(worker->id, worker->number, NULL, NULL);
			commit_transaction(worker);
			worker->failing = false;
		}
	}
	serve_group(worker);
	if (worker->fetcher &&
		TimestampDifferenceExceeds(worker->looked_at, GetCurrentTimestamp(), LOOK_INTERVAL))
		look_at_topic(worker);
}

/* ------------------------------------------------------------------------
 * Errors
 * ------------------------------------------------------------------------ */

/* Whether an error may be gone when the same is tried again. */
static bool
may_pass(Phase phase, int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			break;
	}
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_OBJECT_IN_USE)
		return true;
	/* Rights, topics and passwords can be put right where Kafka is; lost messages cannot. */
	return phase == PHASE_FETCH && sqlstate != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
}

/* Note an error in the catalogue; one that does not pass is the end for the other workers, too. */
static void
note_failure(Worker *worker, bool passes, const char *text, const char *shown)
{
	if (!OidIsValid(get_extension_oid("kafka_fdw", true)))
		return;
	worker->failing = passes;
	if (!passes)
	{
		kafka_subscription_note_stop(worker->id, text, shown);
		kafka_subscription_signal_at_commit(worker->id);
	}
	/* last: kafka_resume() and kafka_unsubscribe() lock the rows in this order, too */
	kafka_subscription_note_retry(worker->id, worker->number, passes ? text : NULL, passes ? shown : NULL);
}

/* An error of a cycle: say so, in the log and in the catalogue, and leave everything to be done anew. */
static void
recover(Worker *worker)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *error = CopyErrorData();
	bool		passes = may_pass(worker->phase, error->sqlerrcode);
	char	   *text = error->detail ? psprintf("%s (%s)", error->message, error->detail)
		: pstrdup(error->message);
	char	   *shown = NULL;

	/* What goes wrong with rows is told with their values. */
	if (worker->phase == PHASE_STORE)
		shown = psprintf("could not store a batch (SQLSTATE %s)", unpack_sql_state(error->sqlerrcode));
	MemoryContextSwitchTo(oldcontext);
	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	error->elevel = LOG;
	ThrowErrorData(error);
	FlushErrorState();
	AbortCurrentTransaction();
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, 0);
	KafkaIngestBatchHide(worker->batch);
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(TopMemoryContext);
	disconnect(worker);
	worker->reload = true;

	StartTransactionCommand();
	note_failure(worker, passes, text, shown);
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	FreeErrorData(error);
	pfree(text);
	if (shown)
		pfree(shown);
	pgstat_report_activity(STATE_IDLE, NULL);
}

static bool
try_cycle(Worker *worker)
{
	volatile bool succeeded = false;

	PG_TRY();
	{
		cycle(worker);
		succeeded = true;
	}
	PG_CATCH();
	{
		recover(worker);
	}
	PG_END_TRY();
	return succeeded;
}

/* ------------------------------------------------------------------------
 * The process
 * ------------------------------------------------------------------------ */

static void
worker_loop(Worker *worker)
{
	int			pause = FIRST_PAUSE;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			worker->reload = true;
		}
		if (kafka_mode != KAFKA_MODE_ON)
		{
			disconnect(worker);
			nap(NAP);
			continue;
		}
		if (try_cycle(worker))
			pause = FIRST_PAUSE;
		else if (!ConfigReloadPending)
		{
			nap(pause);
			pause = Min(pause * 2, LAST_PAUSE);
		}
	}
}

void
kafka_subscription_main(Datum arg)
{
	KafkaSubscriptionArguments arguments;
	Worker	   *worker;

	memcpy(&arguments, MyBgworkerEntry->bgw_extra, sizeof(arguments));
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	KafkaWorkerConnect(arguments.databaseid);
	if (!take_running_lock(arguments.id, arguments.number, LOCK_TRIES))
		proc_exit(0);

	worker = MemoryContextAllocZero(TopMemoryContext, sizeof(Worker));
	worker->id = arguments.id;
	worker->number = arguments.number;
	worker->load_context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw subscription",
												 ALLOCSET_DEFAULT_SIZES);
	worker->fetch_context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw subscription's reader",
												  ALLOCSET_SMALL_SIZES);
	worker->cycle_context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw subscription's batch",
												  ALLOCSET_DEFAULT_SIZES);
	worker->batch = KafkaIngestBatchCreate(TopMemoryContext);
	worker->reload = true;

	enter(worker);
	pgstat_report_activity(STATE_IDLE, NULL);
	worker_loop(worker);
}
