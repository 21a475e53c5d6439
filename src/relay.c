/*
 * relay.c
 *		The background worker that sends what is in the outbox, each message exactly once.
 *
 * A batch is recorded in PostgreSQL under a name of its own, and flushed; then its messages, and one
 * to the control topic that carries the name, are sent in one Kafka transaction. After a crash
 * anywhere in between the control topic tells whether the recorded batch was committed there. A
 * relay has a transactional id of its own, so an earlier incarnation that still runs somewhere is
 * fenced before the control topic is read.
 *
 * The worker waits outside transactions. Errors of a cycle are noted in kafka_relay and tried again
 * after a pause that grows.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "consumer.h"
#include "module.h"
#include "option.h"
#include "outbox.h"
#include "producer_transaction.h"
#include "relay_private.h"
#include "setting.h"
#include "worker.h"

#define CONTROL_TOPIC "_kafka_fdw_relay"
#define MAX_MESSAGE_TIMEOUT 10000	/* ms: a message may not outlive its transaction */
#define FIRST_PAUSE 500			/* ms after a failure; doubled up to the last */
#define LAST_PAUSE 5000
#define ROTATION_INTERVAL 1000	/* ms */
#define FIRST_NAP 100			/* ms, in the first second: who started us may not have committed */
#define MANY_IDS 10000
#define LOCK_TRIES 100
#define FENCE_INTERVAL 60000	/* ms: twice fenced in that time is not by chance */

#define KAFKA_STOP_SQLSTATE ERRCODE_OPERATOR_INTERVENTION	/* of an error after which it does not
															 * go on */

/* The relay of this process. */
typedef struct Relay
{
	MemoryContext context;		/* of the relay's own state, until it is read anew */
	MemoryContext kafka_context;	/* of the transactor */
	MemoryContext cycle_context;
	RelayState *state;			/* NULL: to be read */
	KafkaServer *server;
	KafkaTransactor *transactor;	/* NULL: not connected */
	TimestampTz fenced_at;		/* 0: never */
	TimestampTz rotated_at;
	bool		sent;			/* something, since it was rotated */
} Relay;

static volatile sig_atomic_t got_sigterm = false;

PGDLLEXPORT void kafka_relay_main(Datum arg);

/*
 * A wait for Kafka only ends early by an interrupt, and "terminate" would end the process as a
 * failure, after which it would be started again. So it is a cancel, and the loop looks at the flag.
 */
static void
on_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	got_sigterm = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

/* ------------------------------------------------------------------------
 * Transactions of PostgreSQL
 * ------------------------------------------------------------------------ */

static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
commit_transaction(void)
{
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
}

/* ------------------------------------------------------------------------
 * Kafka
 * ------------------------------------------------------------------------ */

/* Let go of the connection; what is open there is settled by the next. */
static void
disconnect(Relay *relay)
{
	relay->transactor = NULL;
	MemoryContextReset(relay->kafka_context);
}

/* The server as it is now; a changed one makes a new connection. */
static void
refresh_server(Relay *relay)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(relay->cycle_context);
	KafkaServer *server = KafkaOptionGetServer(relay->state->serverid, relay->state->mapping);

	server->message_timeout = Min(server->message_timeout, MAX_MESSAGE_TIMEOUT);
	if (relay->transactor == NULL || !KafkaOptionSameServer(server, relay->server))
	{
		disconnect(relay);
		MemoryContextSwitchTo(relay->kafka_context);
		relay->server = KafkaOptionCopyServer(server);
		relay->server->transactional_id = psprintf("kafka_fdw-%s", relay->state->identity);
	}
	else
	{
		MemoryContextSwitchTo(relay->kafka_context);
		relay->server->allowed_topics = KafkaOptionCopyServer(server)->allowed_topics;
		relay->server->outbox_stops = server->outbox_stops;
	}
	MemoryContextSwitchTo(oldcontext);
}

/* The name of the batch that an identity committed last, in the current context; NULL: none. */
static char *
last_committed(Relay *relay, const char *identity)
{
	KafkaConsumer *consumer = KafkaConsumerOpen(relay->server, CONTROL_TOPIC, true, false);
	KafkaSnapshot *snapshot = KafkaConsumerSnapshot(consumer);
	KafkaMessage message;
	char	   *result = NULL;
	KafkaRange	range;

	range.partition = snapshot->partitions[0].partition;
	range.start = snapshot->partitions[0].low;
	range.end = snapshot->partitions[0].end;
	KafkaConsumerStart(consumer, &range, range.end > range.start ? 1 : 0, NULL);
	while (KafkaConsumerNext(consumer, &message))
	{
		if (message.keylen == strlen(identity) && memcmp(message.key, identity, message.keylen) == 0)
			result = pnstrdup(message.value, message.valuelen);
	}
	KafkaConsumerClose(consumer);
	return result;
}

static void forget_batch(RelayState *state);

/* A batch's name is "identity/uuid"; the identity is the key of its control message. */
static char *
identity_of(const char *batch)
{
	return pnstrdup(batch, strcspn(batch, "/"));
}

/*
 * Connect, which ends whatever an earlier producer of this relay has left open, and see what became
 * of the batch that was recorded last.
 */
static void
connect_to_kafka(Relay *relay)
{
	RelayState *state = relay->state;
	char	   *last = NULL;
	char	   *reason;

	/* A handle's configuration looks into catalogues; without a snapshot that holds nothing back. */
	StartTransactionCommand();
	MemoryContextSwitchTo(relay->kafka_context);
	relay->transactor = KafkaTransactorOpen(relay->server);
	(void) KafkaTransactorMakeTopic(relay->transactor, CONTROL_TOPIC);
	MemoryContextSwitchTo(relay->cycle_context);
	reason = KafkaTransactorPrepare(relay->transactor, CONTROL_TOPIC, 0);
	if (reason)
		elog(ERROR, "could not use the control topic \"%s\": %s", CONTROL_TOPIC, reason);
	if (state->batch)
		last = last_committed(relay, identity_of(state->batch));
	CommitTransactionCommand();
	begin_transaction();
	kafka_relay_note(state, "running", NULL);
	if (last && strcmp(last, state->batch) == 0)
	{
		int64		nsent = state->batch_rows - list_length(state->excluded);

		forget_batch(state);
		kafka_relay_save(state, nsent, 0);
	}
	commit_transaction();
	MemoryContextSwitchTo(relay->cycle_context);
}

/* ------------------------------------------------------------------------
 * Batches
 * ------------------------------------------------------------------------ */

/* The reason why a row may not be sent after all, or NULL. */
static char *
why_not(Relay *relay, const RelayRow *row)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(row->role)))
		return pstrdup("the role that queued it does not exist any more");
	if (kafka_server_aclcheck(relay->state->serverid, row->role, ACL_USAGE) != ACLCHECK_OK)
		return psprintf("role \"%s\" may not use server \"%s\" any more",
						GetUserNameFromId(row->role, false), relay->state->server);
	if (!KafkaOptionTopicAllowed(relay->server, row->topic))
		return psprintf("topic \"%s\" is not among the allowed topics of server \"%s\"", row->topic,
						relay->state->server);
	return NULL;
}

static bool
is_excluded(const RelayState *state, int64 id)
{
	ListCell   *lc;

	foreach(lc, state->excluded)
	{
		if (*(int64 *) lfirst(lc) == id)
			return true;
	}
	return false;
}

static RelayRow *
find_row(List *rows, int64 id)
{
	ListCell   *lc;

	foreach(lc, rows)
	{
		if (((RelayRow *) lfirst(lc))->id == id)
			return (RelayRow *) lfirst(lc);
	}
	return NULL;
}

/* Give a batch a name, which from now on may be in the control topic. */
static void
name_batch(Relay *relay)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(relay->context);

	if (relay->state->batch)
		pfree(relay->state->batch);
	relay->state->batch =
		psprintf("%s/%s", relay->state->identity,
				 DatumGetCString(DirectFunctionCall1(uuid_out,
													 DirectFunctionCall1(gen_random_uuid, 0))));
	MemoryContextSwitchTo(oldcontext);
}

static void
exclude(Relay *relay, List *rows, int64 id, const char *reason)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(relay->context);
	int64	   *copy = palloc(sizeof(int64));

	*copy = id;
	relay->state->excluded = lappend(relay->state->excluded, copy);
	MemoryContextSwitchTo(oldcontext);
	kafka_relay_bury(relay->state, find_row(rows, id), reason);
}

/* The recorded batch is in Kafka. */
static void
forget_batch(RelayState *state)
{
	state->last_id = state->batch_to;
	pfree(state->batch);
	state->batch = NULL;
	list_free_deep(state->excluded);
	state->excluded = NIL;
}

/* The round has no rows left: it is what is done. */
static void
finish_round(RelayState *state)
{
	pfree(state->done);
	state->done = state->round;
	state->done_id = state->round_id;
	state->round = NULL;
}

/* Find out which rows cannot be sent because their topic or partition is not there. */
static List *
prepare_rows(Relay *relay, List *rows)
{
	List	   *refusals = NIL;
	ListCell   *lc;

	foreach(lc, rows)
	{
		RelayRow   *row = (RelayRow *) lfirst(lc);
		KafkaRefusal *refusal;
		char	   *reason;

		if (is_excluded(relay->state, row->id))
			continue;
		reason = KafkaTransactorPrepare(relay->transactor, row->topic, row->message.partition);
		if (reason == NULL)
			continue;
		refusal = palloc(sizeof(KafkaRefusal));
		refusal->number = row->id;
		refusal->reason = reason;
		refusals = lappend(refusals, refusal);
	}
	return refusals;
}

/* Send the rows in a transaction of Kafka's; those that it refuses, when nothing was sent. */
static List *
send_rows(Relay *relay, List *rows)
{
	RelayState *state = relay->state;
	char	   *identity = identity_of(state->batch);
	KafkaOutgoing control = {0};
	ListCell   *lc;

	KafkaTransactorBegin(relay->transactor);
	foreach(lc, rows)
	{
		RelayRow   *row = (RelayRow *) lfirst(lc);

		if (!is_excluded(state, row->id))
			KafkaTransactorAdd(relay->transactor, row->topic, &row->message, row->id);
	}
	control.partition = 0;
	control.timestamp = KAFKA_NO_TIMESTAMP;
	control.key = identity;
	control.keylen = strlen(identity);
	control.value = state->batch;
	control.valuelen = strlen(state->batch);
	KafkaTransactorAdd(relay->transactor, CONTROL_TOPIC, &control, 0);
	return KafkaTransactorCommit(relay->transactor);
}

/* Whether a message was refused, or the relay's own to the control topic. */
static void
check_refusal(Relay *relay, const KafkaRefusal *refusal, List *rows)
{
	if (refusal->number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("could not send to the control topic \"%s\"", CONTROL_TOPIC),
				 errdetail_internal("%s.", refusal->reason)));
	if (relay->server->outbox_stops)
		ereport(ERROR,
				(errcode(KAFKA_STOP_SQLSTATE),
				 errmsg("Kafka refuses message %lld of the outbox, for topic \"%s\"",
						(long long) refusal->number, find_row(rows, refusal->number)->topic),
				 errdetail_internal("%s.", refusal->reason),
				 errhint("Mend the cause and call kafka_relay_start(), or set the server's option "
						 "outbox_on_error to dead_letter.")));
}

/* Move what was refused to the dead letters; the rest is the batch now, under another name. */
static void
set_aside(Relay *relay, List *rows, List *refusals)
{
	ListCell   *lc;

	begin_transaction();
	foreach(lc, refusals)
	{
		KafkaRefusal *refusal = (KafkaRefusal *) lfirst(lc);

		check_refusal(relay, refusal, rows);
		exclude(relay, rows, refusal->number, refusal->reason);
	}
	name_batch(relay);
	kafka_relay_save(relay->state, 0, list_length(refusals));
	commit_transaction();
	MemoryContextSwitchTo(relay->cycle_context);
}

/*
 * Send the rows of the recorded batch. Where Kafka refuses some for good they go to the dead
 * letters, and the rest is recorded under another name and sent again.
 */
static void
send_batch(Relay *relay, List *rows)
{
	RelayState *state = relay->state;
	List	   *refusals;
	int64		nsent;

	MemoryContextSwitchTo(relay->cycle_context);
	do
	{
		refusals = prepare_rows(relay, rows);
		if (refusals == NIL)
			refusals = send_rows(relay, rows);
		if (refusals != NIL)
			set_aside(relay, rows, refusals);
	} while (refusals != NIL);
	nsent = state->batch_rows - list_length(state->excluded);
	forget_batch(state);
	begin_transaction();
	kafka_relay_save(state, nsent, 0);
	commit_transaction();
}

/*
 * The next rows of the round, or where it has none left those of a new one. A round without rows is
 * done at once. That is written down only where the relay's row says otherwise, and when many ids
 * were given to transactions that are still open, or to other relays: their rows need not be looked
 * at again then (kafka_relay_save).
 */
static List *
next_rows(Relay *relay)
{
	RelayState *state = relay->state;
	List	   *rows = NIL;
	bool		old_round = state->round != NULL;

	if (old_round)
		rows = kafka_relay_fetch(state, 0, relay->cycle_context);
	if (rows != NIL)
		return rows;
	if (old_round)
		finish_round(state);
	kafka_relay_begin_round(state, relay->context);
	rows = kafka_relay_fetch(state, 0, relay->cycle_context);
	if (rows == NIL)
	{
		finish_round(state);
		if (old_round || kafka_relay_last_given_id() > state->known_id + MANY_IDS)
			kafka_relay_save(state, 0, 0);
	}
	return rows;
}

/* Write down which rows are about to be sent, without those that may not be any more. */
static void
record_batch(Relay *relay, List *rows)
{
	RelayState *state = relay->state;
	ListCell   *lc;

	state->batch_to = ((RelayRow *) llast(rows))->id;
	state->batch_rows = list_length(rows);
	foreach(lc, rows)
	{
		RelayRow   *row = (RelayRow *) lfirst(lc);
		char	   *reason = why_not(relay, row);

		if (reason)
			exclude(relay, rows, row->id, reason);
	}
	name_batch(relay);
	kafka_relay_save(state, 0, list_length(state->excluded));
}

/*
 * The next batch, recorded; NIL where nothing waits, or the relay is to stop. A batch that was recorded before is taken up
 * again just as it was.
 */
static List *
next_batch(Relay *relay)
{
	RelayState *state = relay->state;
	List	   *rows;

	begin_transaction();
	state->stopped = kafka_relay_is_stopped(state);
	MemoryContextSwitchTo(relay->cycle_context);
	if (state->stopped)
		rows = NIL;
	else if (state->batch)
		rows = kafka_relay_fetch(state, state->batch_to, relay->cycle_context);
	else
	{
		rows = next_rows(relay);
		if (rows != NIL)
			record_batch(relay, rows);
	}
	commit_transaction();
	MemoryContextSwitchTo(relay->cycle_context);
	return rows;
}

/* ------------------------------------------------------------------------
 * The loop
 * ------------------------------------------------------------------------ */

/* Read the relay's row anew: at the start, and after each failure. */
static void
load_state(Relay *relay, const KafkaRelayArguments *arguments)
{
	MemoryContextReset(relay->context);
	relay->state = NULL;
	begin_transaction();
	relay->state = kafka_relay_load(arguments->serverid, arguments->mapping, relay->context);
	commit_transaction();
}

/* Whether the server is still there, and the extension; where not, there is nothing to do any more. */
static bool
is_orphaned(const KafkaRelayArguments *arguments)
{
	bool		orphaned;

	StartTransactionCommand();
	orphaned = !SearchSysCacheExists1(FOREIGNSERVEROID, ObjectIdGetDatum(arguments->serverid)) ||
		!OidIsValid(get_extension_oid("kafka_fdw", true));
	CommitTransactionCommand();
	return orphaned;
}

/* One look at the outbox; true where there was something to send. */
static bool
cycle(Relay *relay)
{
	List	   *rows;

	StartTransactionCommand();
	refresh_server(relay);
	CommitTransactionCommand();
	MemoryContextSwitchTo(relay->cycle_context);
	if (relay->transactor == NULL)
		connect_to_kafka(relay);
	rows = next_batch(relay);
	if (rows != NIL)
	{
		send_batch(relay, rows);
		relay->sent = true;
	}
	if (TimestampDifferenceExceeds(relay->rotated_at, GetCurrentTimestamp(), ROTATION_INTERVAL))
	{
		relay->rotated_at = GetCurrentTimestamp();
		relay->sent = false;
		begin_transaction();
		kafka_relay_rotate();
		commit_transaction();
	}
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(relay->cycle_context);
	return rows != NIL;
}

/* An error of a cycle: say so, and leave everything to be taken up anew. */
static void
recover(Relay *relay)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(relay->kafka_context);
	ErrorData  *error = CopyErrorData();
	bool		fenced = error->sqlerrcode == KAFKA_FENCED_SQLSTATE;
	bool		stop = error->sqlerrcode == KAFKA_STOP_SQLSTATE;
	char	   *text = error->detail ? psprintf("%s: %s", error->message, error->detail)
		: pstrdup(error->message);
	const char *what = "waiting";

	MemoryContextSwitchTo(oldcontext);
	HOLD_INTERRUPTS();
	if (!got_sigterm)
	{
		error->elevel = LOG;
		ThrowErrorData(error);
	}
	FlushErrorState();
	AbortCurrentTransaction();
	RESUME_INTERRUPTS();

	/* Somebody else has taken our place. By chance, as after a frozen broker, that happens once. */
	if (fenced)
	{
		TimestampTz now = GetCurrentTimestamp();

		if (relay->fenced_at != 0 &&
			!TimestampDifferenceExceeds(relay->fenced_at, now, FENCE_INTERVAL))
			what = "fenced";
		relay->fenced_at = now;
	}
	if (relay->state && !got_sigterm)
	{
		begin_transaction();
		kafka_relay_note(relay->state, what, text);
		if (stop)
			kafka_relay_stop_itself(relay->state);
		commit_transaction();
	}
	disconnect(relay);
	relay->state = NULL;
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(relay->cycle_context);
}

static void
nap(int64 ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/* For as long, whoever wakes us: messages do not make Kafka come back sooner. */
static void
sit_out(int ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	long		left;

	while (!got_sigterm && !ConfigReloadPending &&
		   (left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end)) > 0)
		nap(left);
}

/* How long to wait for the next message, in ms, if nobody wakes us. */
static int
idle_time(const Relay *relay, TimestampTz started)
{
	if (!TimestampDifferenceExceeds(started, GetCurrentTimestamp(), 1000))
		return FIRST_NAP;
	return relay->sent ? Min(ROTATION_INTERVAL, kafka_relay_naptime) : kafka_relay_naptime;
}

pg_noreturn static void
end_relay(void)
{
	proc_exit(0);				/* not to be started again but by a message, or by hand */
}

typedef enum CycleResult
{
	CYCLE_IDLE,
	CYCLE_MORE,
	CYCLE_FAILED
} CycleResult;

/* A cycle with what has to be looked at before and after it. */
static CycleResult
try_cycle(Relay *relay, const KafkaRelayArguments *arguments)
{
	volatile CycleResult result = CYCLE_FAILED;

	PG_TRY();
	{
		if (is_orphaned(arguments))
			end_relay();
		if (relay->state == NULL)
			load_state(relay, arguments);
		if (relay->state->fenced || relay->state->stopped)
			end_relay();
		result = cycle(relay) ? CYCLE_MORE : CYCLE_IDLE;
		if (relay->state->stopped)
			end_relay();
	}
	PG_CATCH();
	{
		recover(relay);
	}
	PG_END_TRY();
	return result;
}

/* Until there is a reason to end, send what comes. */
static void
relay_loop(Relay *relay, const KafkaRelayArguments *arguments)
{
	int			pause = FIRST_PAUSE;
	TimestampTz started = GetCurrentTimestamp();

	for (;;)
	{
		QueryCancelPending = false;
		if (got_sigterm)
			end_relay();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (kafka_mode != KAFKA_MODE_ON)
		{
			disconnect(relay);
			nap(kafka_relay_naptime);
			continue;
		}
		switch (try_cycle(relay, arguments))
		{
			case CYCLE_MORE:
				pause = FIRST_PAUSE;
				break;
			case CYCLE_IDLE:
				pause = FIRST_PAUSE;
				nap(idle_time(relay, started));
				break;
			case CYCLE_FAILED:
				sit_out(pause);
				pause = Min(pause * 2, LAST_PAUSE);
				break;
		}
	}
}

/*
 * Only one relay runs for a server and user mapping. Sessions take the lock for a moment to see
 * whether one does.
 */
static void
take_lock(const KafkaRelayArguments *arguments)
{
	LOCKTAG		tag;
	int			tries = 0;

	StartTransactionCommand();
	KafkaWorkerLockTag(&tag, arguments->serverid, arguments->mapping, KAFKA_RELAY_RUNNING);
	while (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		if (++tries == LOCK_TRIES || got_sigterm)
			end_relay();
		nap(10);
	}
	CommitTransactionCommand();
}

void
kafka_relay_main(Datum arg)
{
	KafkaRelayArguments arguments;
	Relay	   *relay;

	memcpy(&arguments, MyBgworkerEntry->bgw_extra, sizeof(arguments));
	pqsignal(SIGTERM, on_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	KafkaWorkerConnect(arguments.databaseid);

	/* What is committed is on disk. */
	SetConfigOption("synchronous_commit", "on", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	/* Tables that are filled and emptied have no statistics to trust. */
	SetConfigOption("enable_seqscan", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("enable_bitmapscan", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("plan_cache_mode", "force_generic_plan", PGC_SUSET, PGC_S_OVERRIDE);

	take_lock(&arguments);

	relay = MemoryContextAllocZero(TopMemoryContext, sizeof(Relay));
	relay->context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw relay", ALLOCSET_DEFAULT_SIZES);
	relay->kafka_context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw relay's connection",
												 ALLOCSET_DEFAULT_SIZES);
	relay->cycle_context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw relay's batch",
												 ALLOCSET_DEFAULT_SIZES);
	pgstat_report_activity(STATE_IDLE, NULL);
	relay_loop(relay, &arguments);
}
