/*
 * relay.c
 *		The background worker that sends what is in the outbox, each message exactly once.
 *
 * How a batch is sent is in relay_batch.c. The worker waits outside transactions. Errors of a cycle are
 * noted in kafka_relay and tried again after a pause that grows.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/procsignal.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "module.h"
#include "outbox.h"
#include "relay_private.h"
#include "setting.h"
#include "worker.h"

#define FIRST_PAUSE 500			/* ms after a failure; doubled up to the last */
#define LAST_PAUSE 5000
#define ROTATION_INTERVAL 1000	/* ms */
#define FIRST_NAP 100			/* ms, in the first second: who started us may not have committed */
#define LOCK_TRIES 100
#define SMALL_BATCH 1000		/* messages: with fewer it pays to wait for more */
#define FENCE_INTERVAL 60000	/* ms: twice fenced in that time is not by chance */

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
 * The loop
 * ------------------------------------------------------------------------ */

/* Whether the server is still there, and the extension; where not, there is nothing to do any more. */
static bool
is_orphaned(const KafkaRelayArguments *arguments)
{
	return !SearchSysCacheExists1(FOREIGNSERVEROID, ObjectIdGetDatum(arguments->serverid)) ||
		!KafkaOutboxExists();
}

/* Its place is free at once: who sees that we are ending starts another one, and must not find us still here. */
pg_noreturn static void
end_relay(void)
{
	KafkaSignalEnd();
	LockReleaseSession(USER_LOCKMETHOD);
	proc_exit(0);				/* not to be started again but by a message, or by hand */
}

/* Read the relay's row anew: at the start, and after each failure. */
static void
load_state(Relay *relay, const KafkaRelayArguments *arguments)
{
	MemoryContextReset(relay->context);
	relay->state = NULL;
	kafka_relay_begin();
	if (is_orphaned(arguments))
		end_relay();
	relay->state = kafka_relay_load(arguments->serverid, arguments->mapping, relay->segment,
									relay->context);
	kafka_relay_commit();
}

/* Now and then make room. */
static void
rotate(Relay *relay)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(relay->rotated_at, now, ROTATION_INTERVAL))
		return;
	relay->rotated_at = now;
	kafka_relay_begin();
	relay->untidy = kafka_relay_rotate();
	kafka_relay_commit();
	/* Autovacuum goes by it. */
	(void) pgstat_report_stat(true);
}

/* One look at the outbox; how many messages there were to send. */
static int
cycle(Relay *relay, const KafkaRelayArguments *arguments)
{
	List	   *rows;
	int			nrows;

	kafka_relay_begin();
	if (is_orphaned(arguments))
		end_relay();
	kafka_relay_refresh_server(relay);
	if (relay->transactor == NULL)
	{
		kafka_relay_commit();
		MemoryContextSwitchTo(relay->cycle_context);
		kafka_relay_connect(relay);
		kafka_relay_begin();
	}
	MemoryContextSwitchTo(relay->cycle_context);
	rows = kafka_relay_next_batch(relay);
	kafka_relay_commit();
	/* SIGTERM may have cut the wait for a standby short: such a batch waits for the next relay. */
	nrows = got_sigterm ? 0 : list_length(rows);
	if (nrows > 0)
	{
		kafka_relay_send_batch(relay, rows);
		relay->untidy = true;
	}
	rotate(relay);
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(relay->cycle_context);
	return nrows;
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

	if (relay->sending)
		kafka_relay_size_batch(relay, true);

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
		kafka_relay_begin();
		kafka_relay_note(relay->state, what, text);
		if (stop)
			kafka_relay_stop_itself(relay->state);
		kafka_relay_commit();
	}
	kafka_relay_disconnect(relay);
	relay->state = NULL;
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(relay->cycle_context);
}

/*
 * Not CHECK_FOR_INTERRUPTS(), which would take SIGTERM for an error; but DROP DATABASE, of whichever
 * database, waits for our answer.
 */
static void
nap(int64 ms)
{
	if (!got_sigterm)
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
						 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	if (ProcSignalBarrierPending)
		ProcessProcSignalBarrier();
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

/*
 * Wait for the next message, which wakes us; now and then look all the same. Who has started us may not
 * have committed by the first look, and does not know where to call.
 */
static void
sleep_until_called(const Relay *relay)
{
	if (!KafkaSignalSleep())
		return;
	if (!TimestampDifferenceExceeds(relay->connected_at, GetCurrentTimestamp(), 1000))
		nap(FIRST_NAP);
	else if (relay->untidy)
		nap(Min(ROTATION_INTERVAL, kafka_relay_naptime));
	else
		nap(kafka_relay_naptime);
}

/*
 * Let the next messages gather: where they come one by one, a transaction of Kafka's for each few
 * milliseconds costs more than all else. Nobody wakes us here, as we do not say that we sleep.
 */
static void
gather(TimestampTz begun)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													   TimestampTzPlusMilliseconds(begun, kafka_relay_linger));

	if (left > 0)
		nap(left);
}

/*
 * Only one relay runs for a server and user mapping. Sessions take the lock for a moment to see
 * whether one does.
 */
static void
take_lock(Relay *relay, const KafkaRelayArguments *arguments)
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
	relay->locked = true;
}

/*
 * Give the relay's place up, as it is stopped or fenced. Who wants it to go on after all has either seen that
 * we are ending, and starts another one, or has changed our row before, and then we see that.
 */
static void
end_unwanted(Relay *relay, const KafkaRelayArguments *arguments)
{
	LOCKTAG		tag;

	kafka_relay_disconnect(relay);
	KafkaSignalEnd();
	KafkaWorkerLockTag(&tag, arguments->serverid, arguments->mapping, KAFKA_RELAY_RUNNING);
	LockRelease(&tag, ExclusiveLock, true);
	relay->locked = false;
	kafka_relay_begin();
	kafka_relay_look(relay->state, true);
	kafka_relay_commit();
	if (relay->state->stopped || relay->state->fenced)
		end_relay();
	relay->state = NULL;
}

/* A cycle with what has to be looked at before and after it; the number of messages, or -1: it failed. */
static int
try_cycle(Relay *relay, const KafkaRelayArguments *arguments)
{
	volatile int result = -1;

	PG_TRY();
	{
		KafkaSignalBusy();
		if (relay->state == NULL)
			load_state(relay, arguments);
		if (relay->state->stopped || relay->state->fenced)
			result = 0;
		else
			result = cycle(relay, arguments);
		if (relay->state->stopped || relay->state->fenced)
			end_unwanted(relay, arguments);
	}
	PG_CATCH();
	{
		recover(relay);
		result = -1;
	}
	PG_END_TRY();
	return result;
}

/* Until there is a reason to end, send what comes. */
static void
relay_loop(Relay *relay, const KafkaRelayArguments *arguments)
{
	int			pause = FIRST_PAUSE;

	for (;;)
	{
		TimestampTz begun = GetCurrentTimestamp();
		int			nrows;

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
			kafka_relay_disconnect(relay);
			nap(kafka_relay_naptime);
			continue;
		}
		if (!relay->locked)
			take_lock(relay, arguments);
		nrows = try_cycle(relay, arguments);
		if (nrows < 0)
		{
			sit_out(pause);
			pause = Min(pause * 2, LAST_PAUSE);
			continue;
		}
		pause = FIRST_PAUSE;
		if (nrows == 0)
			sleep_until_called(relay);
		else if (nrows < SMALL_BATCH)
			gather(begun);
	}
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

	relay = MemoryContextAllocZero(TopMemoryContext, sizeof(Relay));
	relay->context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw relay", ALLOCSET_DEFAULT_SIZES);
	relay->kafka_context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw relay's connection",
												 ALLOCSET_DEFAULT_SIZES);
	relay->cycle_context = AllocSetContextCreate(TopMemoryContext, "kafka_fdw relay's batch",
												 ALLOCSET_DEFAULT_SIZES);
	StartTransactionCommand();
	relay->segment = KafkaSignalCreate(arguments.serverid, arguments.mapping);
	CommitTransactionCommand();
	relay->connected_at = GetCurrentTimestamp();
	kafka_relay_size_batch(relay, false);
	pgstat_report_activity(STATE_IDLE, NULL);
	relay_loop(relay, &arguments);
}
