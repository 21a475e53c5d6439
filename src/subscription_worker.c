/*
 * subscription_worker.c
 *		The background worker of a subscription: batch after batch, from Kafka into the database.
 *
 * It waits for messages outside of transactions. What it has fetched it stores in one transaction
 * together with the next offsets, so a crash anywhere loses or repeats nothing: the offsets in the
 * catalogue say what to fetch next. Each such transaction first takes a lock and reads the catalogue
 * anew. So whoever pauses a subscription, sends it elsewhere, or takes a batch by hand, holding that
 * lock, knows that the worker does nothing in between.
 *
 * Errors that may pass are tried again after a pause that grows; others stop the subscription until
 * somebody resumes it.
 */
#include "postgres.h"

#include <signal.h>

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
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "compat.h"
#include "module.h"
#include "setting.h"
#include "subscription.h"
#include "subscription_private.h"
#include "worker.h"

#define FIRST_PAUSE 500			/* ms after a failure; doubled up to the last */
#define LAST_PAUSE 30000
#define NAP 5000				/* ms to wait for a message before the catalogue is looked at
								 * again */
#define LOOK_INTERVAL 10000		/* ms between looks at the topic's partitions and their ends */
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
	Phase		phase;
	MemoryContext load_context; /* of the subscription, until it is read anew */
	MemoryContext fetch_context;	/* of the fetcher */
	MemoryContext cycle_context;
	KafkaSubscription *subscription;
	KafkaFetcher *fetcher;		/* NULL: not connected */
	KafkaIngestBatch *batch;
	TimestampTz looked_at;
	bool		failing;		/* the catalogue says that it is being tried again */
	bool		reload;			/* look at the catalogue before the next batch is fetched */
} Worker;

/* What the transaction has to do about workers when it has committed. */
typedef struct AtCommit
{
	int32		id;				/* to be started; 0: none */
	int			pid;			/* to be told; 0: none */
	char	   *name;
} AtCommit;

static List *at_commit = NIL;	/* of AtCommit *, in TopTransactionContext */

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
take_running_lock(int32 id, int tries)
{
	LOCKTAG		tag;
	bool		taken = false;

	KafkaWorkerSubscriptionLockTag(&tag, id, KAFKA_SUBSCRIPTION_RUNNING);
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
drop_running_lock(int32 id)
{
	LOCKTAG		tag;

	KafkaWorkerSubscriptionLockTag(&tag, id, KAFKA_SUBSCRIPTION_RUNNING);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

static bool
is_wanted(const KafkaSubscription *subscription)
{
	return subscription != NULL && !subscription->fenced && subscription->workers > 0 &&
		(strcmp(subscription->state, "running") == 0 ||
		 strcmp(subscription->state, "retrying") == 0);
}

/* The subscription as the catalogue has it, in the current context; NULL where it is gone. */
static KafkaSubscription *
read_catalogue(int32 id)
{
	if (!OidIsValid(get_extension_oid("kafka_fdw", true)))
		return NULL;
	return kafka_subscription_get(id);
}

/*
 * There is nothing to do any more. Who resumes the subscription now starts a worker, which ends if
 * it cannot get the lock: so let go of it, and look once more.
 */
static void
end_unless_wanted(Worker *worker)
{
	KafkaSubscription *subscription;

	drop_running_lock(worker->id);
	StartTransactionCommand();
	MemoryContextSwitchTo(worker->cycle_context);
	subscription = read_catalogue(worker->id);
	if (!is_wanted(subscription))
	{
		if (subscription && !subscription->fenced && !RecoveryInProgress())
			kafka_subscription_set_pid(worker->id, 0);
		CommitTransactionCommand();
		proc_exit(0);
	}
	CommitTransactionCommand();
	if (!take_running_lock(worker->id, 1))
		proc_exit(0);
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
	MemoryContextReset(worker->fetch_context);
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
	worker->subscription = read_catalogue(worker->id);
	if (is_wanted(worker->subscription))
	{
		kafka_subscription_check(worker->subscription);
		worker->failing = worker->subscription->failing;
		fits = worker->fetcher != NULL && !KafkaFetcherIsStale(worker->fetcher) &&
			kafka_subscription_agrees(worker->subscription, worker->fetcher);
		if (!fits)
			disconnect(worker);
		worker->phase = PHASE_FETCH;
		if (!fits)
			worker->fetcher = KafkaFetcherOpen(worker->fetch_context, worker->subscription->source,
											   worker->subscription->owner, true, is_woken);
		start = !fits;
	}
	commit_transaction(worker);
	worker->reload = false;
	if (start)
	{
		KafkaFetcherStart(worker->fetcher, worker->subscription->places,
						  worker->subscription->nplaces, worker->subscription->loss_is_error);
		worker->looked_at = GetCurrentTimestamp();
	}
}

/* Look at the topic: are there new partitions, and how far behind are we? */
static void
look_at_topic(Worker *worker)
{
	KafkaConsumer *probe;
	KafkaSubscription *now;
	bool		same;

	worker->phase = PHASE_FETCH;
	StartTransactionCommand();
	MemoryContextSwitchTo(worker->cycle_context);
	probe = KafkaFetcherProbe(worker->fetcher);
	commit_transaction(worker);
	same = KafkaFetcherLook(worker->fetcher, probe);
	KafkaConsumerClose(probe);
	worker->looked_at = GetCurrentTimestamp();
	if (!same)
	{
		disconnect(worker);
		worker->reload = true;
		return;
	}

	/* What moved without messages: transaction markers, or partitions that are new. */
	worker->phase = PHASE_STORE;
	begin_transaction();
	MemoryContextSwitchTo(worker->cycle_context);
	kafka_subscription_lock(worker->id);
	now = read_catalogue(worker->id);
	worker->reload = !is_wanted(now) || !kafka_subscription_agrees(now, worker->fetcher);
	if (!worker->reload)
	{
		kafka_subscription_advance(worker->id, worker->fetcher, 0, false);
		kafka_subscription_store_ends(worker->id, worker->fetcher);
	}
	commit_transaction(worker);
	if (!worker->reload)
		KafkaFetcherAdvance(worker->fetcher);
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
	kafka_subscription_lock(worker->id);
	now = read_catalogue(worker->id);
	worker->reload = !is_wanted(now) || !kafka_subscription_agrees(now, worker->fetcher) ||
		KafkaFetcherIsStale(worker->fetcher);
	if (!worker->reload)
	{
		KafkaIngestBatchShow(worker->batch, now->source);
		(void) kafka_subscription_store_batch(now, worker->fetcher, worker->batch, true);
		if (now->failing)
			kafka_subscription_set_state(worker->id, "running");
		worker->failing = false;
	}
	commit_transaction(worker);
	KafkaIngestBatchHide(worker->batch);
	if (worker->reload)
		disconnect(worker);
	else
		KafkaFetcherAdvance(worker->fetcher);
	pgstat_report_activity(STATE_IDLE, NULL);
}

static void
cycle(Worker *worker)
{
	KafkaIngestLimits limits;

	MemoryContextSwitchTo(worker->cycle_context);
	MemoryContextReset(worker->cycle_context);
	KafkaIngestBatchReset(worker->batch);
	if (worker->reload || worker->fetcher == NULL)
	{
		load(worker);
		if (!is_wanted(worker->subscription))
		{
			disconnect(worker);
			end_unless_wanted(worker);
			worker->reload = true;
			return;
		}
	}
	worker->phase = PHASE_FETCH;
	limits = kafka_subscription_limits(worker->subscription, NAP);
	KafkaFetcherFetch(worker->fetcher, &limits, worker->batch);
	if (KafkaIngestBatchCount(worker->batch) > 0)
		store(worker);
	else
	{
		/* Kafka answers again; what could not be stored was not tried again, as there is nothing. */
		worker->reload = true;
		if (worker->failing)
		{
			begin_transaction();
			kafka_subscription_set_state(worker->id, "running");
			commit_transaction(worker);
			worker->failing = false;
		}
	}
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

/* An error of a cycle: say so, in the log and in the catalogue, and leave everything to be done anew. */
static void
recover(Worker *worker)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *error = CopyErrorData();
	bool		passes = may_pass(worker->phase, error->sqlerrcode);
	char	   *text = error->detail ? psprintf("%s (%s)", error->message, error->detail)
		: pstrdup(error->message);

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
	if (OidIsValid(get_extension_oid("kafka_fdw", true)))
		kafka_subscription_note_error(worker->id, passes ? "retrying" : "stopped", text);
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	FreeErrorData(error);
	pfree(text);
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
nap(int64 ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

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
	KafkaSubscription *subscription;

	memcpy(&arguments, MyBgworkerEntry->bgw_extra, sizeof(arguments));
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	KafkaWorkerConnect(arguments.databaseid);
	if (!take_running_lock(arguments.id, LOCK_TRIES))
		proc_exit(0);

	worker = MemoryContextAllocZero(TopMemoryContext, sizeof(Worker));
	worker->id = arguments.id;
	worker->load_context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw subscription",
												 ALLOCSET_DEFAULT_SIZES);
	worker->fetch_context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw subscription's reader",
												  ALLOCSET_SMALL_SIZES);
	worker->cycle_context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw subscription's batch",
												  ALLOCSET_DEFAULT_SIZES);
	worker->batch = KafkaIngestBatchCreate(TopMemoryContext);
	worker->reload = true;

	StartTransactionCommand();
	MemoryContextSwitchTo(worker->cycle_context);
	subscription = read_catalogue(worker->id);
	if (is_wanted(subscription))
	{
		kafka_subscription_set_pid(worker->id, MyProcPid);
		SetConfigOption("application_name", psprintf("kafka_fdw subscription %s", subscription->name),
						PGC_SUSET, PGC_S_OVERRIDE);
	}
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
	worker_loop(worker);
}

/* ------------------------------------------------------------------------
 * From other sessions
 * ------------------------------------------------------------------------ */

static AtCommit *
remember(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	AtCommit   *entry = palloc0(sizeof(AtCommit));

	at_commit = lappend(at_commit, entry);
	MemoryContextSwitchTo(old);
	return entry;
}

void
kafka_subscription_start_at_commit(int32 id, const char *name)
{
	AtCommit   *entry = remember();

	entry->id = id;
	entry->name = MemoryContextStrdup(TopTransactionContext, name);
}

void
kafka_subscription_signal_at_commit(int pid)
{
	if (pid != 0)
		remember()->pid = pid;
}

/* The number may be another process's by now, which takes the signal for a change of the configuration. */
static void
signal_worker(int pid)
{
	PGPROC	   *proc = BackendPidGetProc(pid);

	if (proc != NULL && proc->databaseId == MyDatabaseId)
		(void) kill(pid, SIGHUP);
}

static void
start_worker(int32 id, const char *name)
{
	if (!KafkaWorkerStartSubscription(id))
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start the worker of subscription \"%s\": no background worker slot is free",
						name),
				 errhint("Increase \"max_worker_processes\", and use kafka_resume().")));
}

static void
subscription_xact_callback(XactEvent event, void *arg)
{
	ListCell   *lc;
	List	   *entries = at_commit;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	at_commit = NIL;
	if (event != XACT_EVENT_COMMIT)
		return;
	foreach(lc, entries)
	{
		AtCommit   *entry = (AtCommit *) lfirst(lc);

		if (entry->pid != 0)
			signal_worker(entry->pid);
		if (entry->id != 0)
			start_worker(entry->id, entry->name);
	}
}

void
KafkaSubscriptionInit(void)
{
	RegisterXactCallback(subscription_xact_callback, NULL);
}

void
KafkaSubscriptionStartAll(void)
{
	ListCell   *lc;

	foreach(lc, kafka_subscription_wanted())
	{
		if (!KafkaWorkerStartSubscription(lfirst_int(lc)))
			ereport(LOG,
					(errmsg("could not start a subscription of kafka_fdw: no background worker slot is free"),
					 errhint("Increase \"max_worker_processes\".")));
	}
}
